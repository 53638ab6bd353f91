"""Extraction: recordings to a store, in worker processes, and resumable at any moment.

``extract`` is all of it in one call: ``request`` completes what a user wants, ``pipeline`` makes
the store. ``clip`` does the work on one clip: one decode by ``media`` for all ``extractors``, then
``alignment`` to words or to a fixed rate, and the ``word_states`` of a text encoder. ``processes``
run it, ``clip_results`` are its files, ``workspace`` the folder that holds them, and ``assembly``
makes clips and series of them. ``inspection`` draws what a video extractor saw.
"""
