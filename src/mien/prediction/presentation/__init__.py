"""Predictions for people: text, rows of a spreadsheet, and pictures.

In reading order: ``text`` is for a terminal and a spreadsheet, ``figure`` draws the timeline, with
``strips`` (voice and face over time), ``target_strips`` (emotions and the like) and
``colored_words`` (the words of an utterance). ``frame_rows`` is for data frames and notebooks,
``model_card`` is the card of the model that comes with the package, ``model_summary`` says what a
model is.
"""
