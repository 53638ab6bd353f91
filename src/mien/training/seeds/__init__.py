"""The seeds of a run, each a training of its own: one after the other, or side by side.

``run_steps`` are what a run does before and after them, and ``seed_training`` is the training of a
seed from its first epoch to its numbers; models that are fitted at once have ``fitting``.
``seed_jobs`` does it for several seeds at a time, in processes of this machine or of a cluster, and
``seed_progress`` reads how they go on from the files that they write; ``registered`` gives such
processes the models and corpora that were registered in this one.
"""
