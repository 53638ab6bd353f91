"""Models that go through the steps of all modalities at once, so that these must be the same steps.

Series that have others are brought to those of the text by ``mien.models.zoo.step_alignment``.
``ef_lstm`` joins them, ``mfn`` and ``graph_mfn`` remember across them; ``gated_memory`` is what the
last two share, ``packed_steps`` has the real steps of a batch end to end, ``traced_loops`` loops
over steps in a graph for ONNX, and ``recurrent_settings`` has the settings.
"""
