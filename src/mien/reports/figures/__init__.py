"""Figures: ``run`` draws those of a run in the ``style`` that all share.

``panels`` sets plots side by side, ``attention_maps`` shows attention over clips, and ``words``
puts tokens together to words.
"""
