"""A reader of pickles that calls nothing and understands arrays and plain containers alone.

``machine`` reads the instructions of a pickle. ``names`` are those that a file may mention,
``numpy_objects`` and ``plain_objects`` build what they stand for, ``lazy_array`` leaves arrays in
the file, and ``descriptions`` put values into words. All share a ``reading_context``;
``feature_file`` is the file, opened.
"""
