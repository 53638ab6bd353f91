"""OpenFace: ``program`` runs the user's own copy, and ``csv_files`` reads what it leaves."""
