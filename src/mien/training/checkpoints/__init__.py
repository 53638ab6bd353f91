"""Checkpoints: weights, settings and what they were trained on, in one file without pickle.

``checkpoint`` reads and writes the file, ``header`` checks its header, ``trained_model`` builds the
network, or the ensemble of several, ``calibrated`` measures what validation clips say about its
answers, ``videos`` holds what it has learned from, and ``matching`` compares it with data.
``absent_series`` stands in for what data lack, and ``baseline_use`` says if clips are read against
their speakers.
``carried_encoder`` gives what a text encoder has learned to the next training,
``carried_targets`` what was learned of classes.
``shipped_models`` names the files that come with the package.
"""
