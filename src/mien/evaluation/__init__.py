"""Predictions to numbers, and how sure they are; nothing here knows a run folder.

``scoring`` makes ``predictions``; ``formulas`` are the plain functions behind the ``metrics``;
``evaluate`` puts the metrics of a seed and of several together, ``metrics_file`` holds, reads and
writes what it gives; ``target_metrics`` are those of classes, labels, intensities and scores other
than sentiment. ``bootstrap`` resamples clips, videos or speakers, ``intervals`` gives intervals and
p values, ``significance`` compares methods with them, ``conformal`` calibrates how far a score may
be off, and ``probabilities`` how far those of classes can be relied on. ``label_agreement``
compares generated labels with a known truth, ``attention_share`` attention with known moments.
"""
