"""Pretrained text encoders in other formats to folders in Hugging Face's layout.

``tensorflow_bert`` reads Google's checkpoints by ``tensor_bundle`` and its ``checksum``,
``nano_e5`` a package of four-bit weights; both write a ``bert_folder``.
"""
