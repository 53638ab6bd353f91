"""Encoders and tokenizers that are read here, because transformers takes seconds to import.

``bert`` are BERT encoders, ``tokenizer`` their tokenizers; each says which files it reads itself,
and leaves all others to transformers. ``token_names`` carries token ids over from one tokenizer to
another.
"""
