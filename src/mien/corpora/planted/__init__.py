"""The planted corpus: synthetic clips whose unimodal truth and salient moments are known.

``corpus`` makes it, by the settings of ``planted_config``: of ``sentiments`` that each modality
has and that are mixed into the label, of ``sentences`` whose wording carries one, and of the
``signals`` of voice and face, in which ``bursts`` carry one; and of ``emotions``, where clips are
to have classes as well.
"""
