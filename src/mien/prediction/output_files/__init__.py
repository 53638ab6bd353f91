"""The outputs of a prediction over many recordings: written answer by answer, and resumed.

In reading order: ``prediction_run`` predicts one recording after the other, ``outputs`` writes the
answers, ``journal`` records which recordings are answered, and ``appending`` adds to a file so that
a piece is there in full or not at all.
"""
