"""Pretrained text encoders in other formats to folders in Hugging Face's layout."""
