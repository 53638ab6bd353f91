"""Files and folders: written whole or not at all, read within bounds, cached under a key.

``atomic`` and ``folders`` write, over ``temporaries``; ``reading`` opens what users give; ``npy``
is NumPy's format; ``hashing`` is SHA-256; ``cache`` keeps what is computed once, keyed by the code
in ``source_code``.
"""
