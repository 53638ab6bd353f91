"""Checkpoints: weights, settings and what they were trained on, in one file without pickle.

``checkpoint`` reads and writes the file, ``header`` checks its header, ``videos`` holds
what it has learned from, and ``matching`` compares it with data. ``shipped_models`` names the files
that come with the package.
"""
