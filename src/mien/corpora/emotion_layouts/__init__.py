"""Emotion corpora in the folders that people download, one module per corpus.

``layout_parts`` is what the readers share. ``ravdess`` and ``cremad`` read names of files,
``iemocap`` the evaluations of its sessions, ``meld`` tables of dialogues, and ``mer`` the tables of
the MER challenges and the ``label_file`` of MERTools. ``layout_reader`` chooses among them.
"""
