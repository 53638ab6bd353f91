"""Studies: many runs side by side, evaluated together, to one page.

In reading order: ``plan`` (what is compared), ``study`` (the story), ``corpora`` and ``workers``
(data prepared side by side), ``runner`` (trainings), ``baselines`` and ``results`` (numbers),
``tables``, ``figures`` and ``study_page``.
"""
