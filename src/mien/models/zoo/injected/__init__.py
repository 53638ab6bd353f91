"""Models that change what goes through a pretrained text encoder by what is heard and seen.

``bert_mag`` shifts what goes into its layers, ``cenet`` what the first of them gives;
``injected_model`` is what they share, and ``injected_settings`` has the settings.
"""
