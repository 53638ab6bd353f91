"""Studies: many runs side by side, evaluated together, to one page.

In reading order: ``plan`` (what is compared), ``distinct_variants`` (that it differs), ``study``
(the story), ``corpora`` (data prepared side by side), ``runner`` (trainings), ``study_listener``
(who follows them), ``baselines`` and ``results`` (numbers), ``tables``, ``figures`` and
``study_page``. ``ablation`` makes a study of the settings of one run, and ``robustness`` tests
trained models on damaged clips.
"""
