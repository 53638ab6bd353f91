"""Clips and series on disk, and on their way to a model.

``store`` is the folder, ``store_writer`` makes it, and ``summary`` describes it; ``clips`` reads
its clips, and columns of what is read of all of them, and ``speakers`` what each clip is read
against. ``text`` turns transcripts into what a model reads, by ``text_settings``: token ids from
``text_reader``, with those of a ``context``, or ``text_states``; ``token_cache`` and ``text_cache``
keep them. ``dataset`` makes padded batches, ``prefetch`` makes them one ahead, and ``export``
writes for other programs.
"""
