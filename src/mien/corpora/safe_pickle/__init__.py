"""A reader of pickles that calls nothing: ``machine`` reads the opcodes.

``names`` says which names are understood, ``numpy_objects`` what they build, ``lazy_array`` leaves
arrays in the file, and ``feature_file`` is that file, opened.
"""
