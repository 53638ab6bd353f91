"""Figures: ``run`` draws those of a run in the ``style`` that all share.

``learning_curves``, ``score_clouds`` and ``label_histograms`` are a plot each; ``panels`` sets
plots side by side, ``label_panels`` those of labels, and ``forest_plot`` differences between runs.
``class_figures`` are confusion matrices and reliability curves.
``attention_maps`` shows attention over clips, and ``words`` puts tokens together to words.
"""
