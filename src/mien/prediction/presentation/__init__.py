"""Predictions for people: text, rows of a spreadsheet, and pictures.

In reading order: ``text`` is for a terminal and a spreadsheet, ``figure`` draws the timeline, with
``strips`` (voice and face over time) and ``colored_words`` (the words of an utterance).
``model_card`` is the card of the model that comes with the package.
"""
