"""The clips of a store: one line of JSON each, and columns of what is read of all of them.

``clip_lines`` is the form of a line in ``clips.jsonl``, which is the record. ``clip_columns`` holds
splits, labels, ids and transcripts of all clips as arrays; ``clip_index`` makes them of the lines,
and keeps those of large files in the user's cache, under the hash of the file. ``target_columns``
are those of further targets, whose values ``target_checks`` checks before they are written, and
``target_json`` describes the targets themselves; ``target_counts`` counts them for people.
"""
