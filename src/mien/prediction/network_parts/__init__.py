"""Parts of a network for prediction.

``feature_makers`` reads from a checkpoint how its features are made, ``onnx_network`` is a network
as ONNX sees it.
"""
