"""How a person usually looks and sounds: from clips without labels, and what it changes.

``speaker_baseline`` is the formula, for any clips of one person. ``speaker_moments`` has the clips
of the speakers of a split, and how much of each speaker a clip is given; ``split_speakers`` finds
them in a store.
"""
