"""Features of OpenFace, by the user's own copy of it.

``program`` runs it, and ``csv_files`` reads what it leaves.
"""
