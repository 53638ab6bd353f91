"""What the files ``metrics.json`` hold, as values, and how they are read and written.

``seed_metrics`` are those of a seed, ``run_metrics`` those of a run over its seeds,
and ``evaluation_folder`` holds such a file beside the predictions that it was taken of, and beside
the ``evaluated_model`` that made them.
"""
