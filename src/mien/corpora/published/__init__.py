"""The feature pickles that the field publishes: ``reader`` turns one into clips and series.

``variants`` converts the field's other layouts into the published one, ``annotations`` reads ids,
transcripts and labels, ``emotion_labels`` labels of several numbers, ``padding`` finds the real
steps of each clip, ``series`` reads time series and ``matrices`` a matrix per clip. ``known_files``
holds the hashes of the published files.
"""
