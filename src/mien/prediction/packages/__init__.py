"""What ``mien pack`` writes.

``packed_file`` writes a network for prediction alone, ``seed_ensemble`` makes one of all seeds of a
run, and ``valid_comparison`` compares it with single seeds.
"""
