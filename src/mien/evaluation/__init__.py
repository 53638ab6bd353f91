"""Predictions to numbers, and how sure they are; nothing here knows a run folder.

``scoring`` makes ``predictions``; ``metrics`` measures them; ``evaluate`` puts the measures of a
seed and of several together; ``bootstrap``, ``significance`` and ``student`` say how
sure a number is, ``conformal`` how far a score may be off, and ``label_agreement`` how well
generated labels agree with a known truth.
"""
