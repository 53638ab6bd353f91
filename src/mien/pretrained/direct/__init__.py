"""Encoders and tokenizers that are read here, because transformers takes seconds to import.

``bert`` and ``mpnet`` are encoders, and ``encoder_files`` finds the folders that hold one;
``tokenizer`` are their tokenizers, from ``tokenizer_files``. Each says which files it reads itself,
and leaves all others to transformers. ``token_names`` carries token ids over from one tokenizer to
another, and ``row_gradients`` adds up the gradients of word embeddings.
"""
