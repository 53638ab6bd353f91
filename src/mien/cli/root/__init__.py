"""The command ``mien`` itself.

``catalogue`` lists its commands and writes its help without importing any of them, ``application``
runs one, ``command_help`` writes the help of one.
"""
