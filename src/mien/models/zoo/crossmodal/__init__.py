"""Models in which the steps of one modality attend to those of another.

``crossmodal_encoder`` is the transformer that most of them share, ``crossmodal_settings`` has their
settings. ``mult`` lets every modality attend to every other, ``tetfn`` lets the text lead, and
``almt`` lets it choose what audio and video add to it. ``tfr_net`` learns from incomplete series,
and to reconstruct them.
"""
