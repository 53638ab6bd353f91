"""Extraction: recordings to a store, in worker processes, and resumable at any moment."""
