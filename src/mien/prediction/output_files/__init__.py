"""The outputs of a prediction over many recordings: written answer by answer, and resumed.

``outputs`` writes them, ``journal`` remembers which recordings are answered, and ``appending`` adds
to a file so that a piece is there in full or not at all.
"""
