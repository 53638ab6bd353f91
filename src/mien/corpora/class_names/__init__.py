"""Names of classes as corpora write them: which are the same, and which of them a task tells apart.

``emotion_names`` is the table of what the field calls each emotion, ``schemes`` the classes that
are commonly told apart, and ``naming`` finds the classes of a corpus by them.
"""
