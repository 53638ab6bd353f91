"""Export: a store in the layouts of other programs.

``layouts`` writes any of them; ``feature_pickle`` is the one that the field publishes, made by
``pickle_writer``. ``fold_stores`` writes the folds of a store as stores.
"""
