"""Several processes that train one model: each computes a part of every batch.

``ranks`` is who they are and how they exchange tensors; ``joined_output`` makes of their parts what
the model returned for the batch. The objective, with label banks and centroids, is computed for the
joined batch in every process, so that all have the same labels and no generator need know of it.
"""
