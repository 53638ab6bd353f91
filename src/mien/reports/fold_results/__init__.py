"""What a run over folds gave: all folds together, and each on the clips that it held out.

``fold_tables`` are the tables of the folds, ``fold_page`` is the report of such a run.
"""
