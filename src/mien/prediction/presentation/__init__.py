"""Answers shown: ``text`` for a terminal and spreadsheets, ``figure`` as a picture.

``strips`` draws voice and face over time, and ``colored_words`` the words of an utterance.
"""
