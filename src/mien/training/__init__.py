"""One run: from settings and a store to a folder with everything that came of it.

``experiment`` is the story and ``settings`` what it can be told; ``preparation`` readies the store,
``out_of_fold`` the evidence for labels, ``starting`` the folder; ``objective`` is minimised by the
``loop`` of ``trainer``; ``checkpoints`` and ``run_folder`` keep the result, and ``loading`` reads
it.
"""
