"""Finished runs to text, tables, figures and pages.

``finished_run`` reads a run, ``comparison`` sets several side by side, ``page`` and ``labels``
write its report, ``text`` makes the tables, and ``figures`` the pictures.
"""
