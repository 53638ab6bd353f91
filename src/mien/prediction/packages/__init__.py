"""What ``mien pack`` writes.

``packed_file`` writes a network for prediction alone, ``seed_ensemble`` makes one of all seeds of a
run, ``averaged_seeds`` one of the mean of their weights, and ``reduced_encoder`` writes text
encoders that were trained as a whole as adapters.
``valid_comparison`` compares what is made with what was trained, on the clips of ``valid_clips``.
"""
