"""Finished runs to text, tables, figures and pages.

``finished_run`` reads a run, ``comparison`` sets several side by side, ``page`` and ``labels``
write its report. ``text`` makes tables, of ``metric_cells``; ``run_text`` those of runs,
``comparison_tables`` those of comparisons in the formats of other programs, such as ``latex``, and
``label_tables`` those of generated labels, which ``label_trajectories`` measures. ``figures`` are
the pictures.
``target_results`` has the tables of classes, labels, intensities and scores beside sentiment, and
``fold_results`` those of runs over folds. ``html_page`` is one page of several runs.
"""
