"""Multimodal sentiment and emotion recognition."""
