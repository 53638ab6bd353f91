"""Files and folders: written in full or not at all, read within bounds, cached under a key.

``atomic`` and ``folders`` write, over ``temporaries``; ``reading`` opens what users give, and
``hashing`` is the SHA-256 of it; ``npy`` is NumPy's format and ``json_values`` are those of JSON.
``user_folders`` are those for data and caches; ``cache`` keeps what is computed once, keyed by the
code in ``source_code``, and ``cache_entries`` are what it holds.
"""
