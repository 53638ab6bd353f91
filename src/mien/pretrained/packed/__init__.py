"""What is computed of a batch of texts: nothing twice, nothing that is padding or read by nobody.

``packing`` puts texts end to end, ``shared_passages`` finds passages in which several clips are
read, and ``first_states`` ends where the first state of each text is known.
"""
