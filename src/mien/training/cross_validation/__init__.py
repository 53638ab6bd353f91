"""One training for each fold of a corpus, and what they give together.

``fold_data`` reads the stores of the folds and checks that they are of the same clips.
``fold_training`` trains on each of them, and ``pooled_results`` writes what they predict of all
clips that were held out, as a run folder has it.
"""
