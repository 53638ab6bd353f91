"""How far probabilities can be relied on: reliability, temperature, and sets that hold the truth.

``reliability`` compares probabilities with how often they come true, ``temperature`` makes them as
sure as they are right, ``margins`` says which classes cannot be ruled out. ``target_calibration``
puts together what validation clips say of a target, as checkpoints hold it, and
``calibrate_targets`` does so for all targets and every set of modalities. ``covered_targets`` is
how often that then holds.
"""
