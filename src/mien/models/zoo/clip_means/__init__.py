"""Regressions on the mean of each modality over a clip: what a model has to be better than.

They are fitted at once, and not trained step by step: ``clip_means_model`` is what they share, and
what a fit is given. ``ridge_regression`` is linear. ``boosted_trees`` are fitted by ``boosting``
and kept as a ``tree_sum``. ``clip_means_settings`` has their settings.
"""
