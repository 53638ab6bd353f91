"""Trained models on the clips of a split: a run's own predictions, or new ones on a store.

``evaluate_models`` evaluates what ``model_set`` names: the seeds of a run, those of its folds, or a
model of one file. ``scored_store`` has what one model says of clips, annotated or not.
"""
