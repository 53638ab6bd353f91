"""Emotion corpora in the folders that people download, one module per corpus.

``layout_parts`` is what the readers share. ``ravdess`` and ``cremad`` read names of files,
``iemocap`` the evaluations of its sessions, ``meld`` tables of dialogues, ``mer`` the tables of the
MER challenges and the ``label_file`` of MERTools, with transcripts by ``mer_texts``, and
``mosei_emotions`` the intensities of CMU-MOSEI, from a ``label_sequence``. ``layout_reader``
chooses among them.
"""
