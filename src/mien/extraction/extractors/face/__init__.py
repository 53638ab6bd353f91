"""What a face does: ``features`` is the extractor.

``landmarker`` finds faces, ``tracking`` follows one, ``landmarks`` and ``geometry`` read its
points, and ``expression`` is a small network of seven expressions.
"""
