"""Checkpoints: weights, settings and what they were trained on, in one file without pickle.

``checkpoint`` reads and writes the file, ``header`` checks what it says of itself, ``videos`` holds
what it has learned from, and ``matching`` compares it with data.
"""
