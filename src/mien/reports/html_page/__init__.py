"""One page in HTML of one run or several, or evaluations, which needs nothing beside it.

``runs_page`` writes the page of the runs that ``page_runs`` reads, and of evaluations, each a
``reported_evaluation``. ``results_section`` shows how
they compare, with ``published_rows`` beside them; ``coverage_section`` how often intervals and sets
hold, and folds; ``clip_sections`` on which clips they err, by
``error_bins`` and ``clip_contrasts``; ``run_sections`` their figures, settings and environment.
``html_parts`` makes tables and figures.
"""
