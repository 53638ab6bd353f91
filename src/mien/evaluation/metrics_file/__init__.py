"""What the files ``metrics.json`` hold, as values, and how they are read and written.

``seed_metrics`` are those of a seed, ``run_metrics`` those of a run over its seeds.
"""
