"""Robustness: trained models on clips from which something is lost, or in which it is wrong.

In reading order: ``conditions`` (what is done to the clips, and the protocols of the field),
``corruption`` and ``word_errors`` (how it is done), ``stressed_split`` (all of it for one split),
``tested_run`` and ``stress_run`` (the story), ``stress_curves`` and ``stress_values`` (numbers),
``stress_tables``, ``stress_figures`` and ``stress_page``.
"""
