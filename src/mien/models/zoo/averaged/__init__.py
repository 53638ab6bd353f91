"""Models that read the mean of audio and video, and the steps of the text by a recurrent network.

``averaged_model`` is what they share and ``averaged_settings`` has their settings. ``tfn``, ``lmf``
and ``lf_dnn`` fuse the three vectors; each also has a form with unimodal tasks (MTFN, MLMF,
MLF-DNN), in the same file.
"""
