"""Clips and series on disk, and on their way to a model.

``store`` is the folder, ``summary`` describes it, ``text`` and ``text_states`` turn transcripts
into what a model reads, ``dataset`` makes padded batches, and ``export`` writes for other programs.
"""
