"""What a face does, from the frames of a recording.

``features`` are the extractors of expressions, pose and gaze, ``landmarks`` that of the points
themselves. ``landmarker`` finds faces with what ``mediapipe_parts`` imports, ``tracking`` follows
one of them, ``geometry`` computes pose, gaze and how open eyes and mouth are, and ``expression`` is
a small network of seven expressions.
"""
