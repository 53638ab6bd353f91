"""What a tuning came to: its trials as values and files, in the terminal, and as a page.

``trial_records`` are the trials, the best of them and what they have cost; ``trial_text`` prints
that, ``tuning_figures`` draws it and ``tuning_page`` shows both.
"""
