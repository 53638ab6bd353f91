"""Worker processes that may hang or die without ending an extraction.

``worker`` is the process, ``supervisor`` ends and replaces it, and ``backends`` says where the
processes run: on this machine, Dask or Ray.
"""
