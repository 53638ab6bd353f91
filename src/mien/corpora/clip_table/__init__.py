"""Tables of clips as people and programs write them: ``rows`` reads one.

``encodings`` finds how the text is encoded, ``columns`` which column is which, ``cells`` what a
cell says, and ``splits`` which split a clip is in.
"""
