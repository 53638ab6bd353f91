"""Tables of clips as people and programs write them.

``rows`` reads one: ``encodings`` finds how its text is encoded, ``separators`` what is between its
cells, ``columns`` which column is which, ``cells`` reads scores, times and names, and ``splits``
which split a clip is in. What else is annotated are targets: ``target_requests`` is what the user
states of them, ``target_headings`` finds their columns, and ``target_cells`` reads these.
"""
