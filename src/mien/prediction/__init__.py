"""A trained model on new recordings and texts: scores with intervals, and what moved them.

In reading order: ``predictor`` loads a model and predicts. ``recording`` makes what a network reads
of a recording, by ``first_pass`` (its sound, once), ``spoken`` (its words), and ``parallel``
(several processes). ``network`` scores clips without a store, and has ``network_parts``;
``occlusion`` measures effects, and ``explain`` puts both into an ``answer``, with
``target_answers`` about emotions and the like; ``answering`` does so for all utterances, a
``result`` holds all answers, and ``presentation`` shows them. ``output_files`` writes the answers
about many recordings. ``package`` and ``onnx`` write a model for others, with ``packages``, and
``server`` serves one.
"""
