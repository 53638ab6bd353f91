"""The command ``mien`` itself.

``catalogue`` lists its commands and writes its help without importing any of them, ``application``
runs one.
"""
