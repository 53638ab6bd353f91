"""Models of the field, each as its paper means it, and as the published program computes it.

``averaged`` has those that read means of audio and video (TFN, LMF, LF-DNN and their forms with
unimodal tasks), ``recurrent`` those that go through the steps of all modalities at once (EF-LSTM,
MFN, Graph-MFN), ``crossmodal`` those whose modalities attend to each other (MulT, TETFN, ALMT,
TFR-Net), ``subspaces`` those with losses of their own (MISA, MMIM), and ``injected`` those that
change what goes through a text encoder (MAG-BERT, CENET). Each of these has a setting
``published``: with it, it does what the program behind the published numbers does, defects and all,
so that the difference can be measured. ``clip_means`` has what they are to be better than: ridge
regression and boosted trees.

``zoo_settings`` is what their settings share, ``series_model`` what the models share,
``step_alignment`` brings series of different lengths to the same steps, ``two_ways`` reads them
forward and backward, and ``moments`` compares sets of vectors.
"""
