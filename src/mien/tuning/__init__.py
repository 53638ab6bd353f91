"""Settings chosen on validation: many trials of a range of settings, and the best as a file.

``development`` is all that trials see of a store: nothing of test. ``space`` says which settings
are tried, ``tune_settings`` how many trials there are, ``tuning_folder`` whose a folder is.
``trial_training`` trains one, ``sampling`` draws its settings, ``trial_database`` keeps all of
them, and ``trial_worker`` takes one after the other. ``tune`` carries a tuning out, and ``outcome``
is what it leaves.
"""
