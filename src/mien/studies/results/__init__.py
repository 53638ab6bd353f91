"""The runs of a study to its results, and its ``results.json``.

In reading order: ``values`` and ``label_values`` (what the results hold), ``measures``,
``target_measures`` and ``alike_variants`` (runs to values), ``attention_metrics``,
``results_file`` (values to JSON and back), ``restating`` (results that earlier versions wrote).
"""
