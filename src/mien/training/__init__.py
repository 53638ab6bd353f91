"""One run: from settings and a store to a folder with everything that came of it.

``experiment`` is the outline of a run, and ``seeds`` are the trainings in it; ``cross_validation``
makes a run for each fold of a corpus, and reads them as one. ``settings`` holds
what can be set; ``preparation`` brings a store into the form of the settings, ``out_of_fold``
gathers evidence for labels; ``targets`` are what is predicted besides sentiment; ``objective`` is
what ``optimizer``, ``loop`` and ``trainer`` minimise, in several processes if need be
(``data_parallel``), from clips with ``lost_steps``; ``listening`` is how progress is reported, and
``run_logs`` bring it to TensorBoard and MLflow;
``record`` writes the ``run_folder``, ``checkpoints`` are the trained weights, ``loading`` reads
them, and ``model_evaluation`` evaluates them.
"""
