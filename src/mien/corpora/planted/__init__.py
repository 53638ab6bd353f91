"""The planted corpus: synthetic clips whose unimodal truth and telling moments are known.

``corpus`` makes it, of ``sentences`` whose wording carries a sentiment and of ``bursts`` in the
series of voice and face.
"""
