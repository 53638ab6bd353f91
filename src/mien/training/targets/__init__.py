"""Further targets of a training, such as emotions: which ones, their losses, how they are balanced.

``target_settings`` is the section ``[targets]`` of the settings; ``aims`` is what a run predicts of
what its store has annotated; ``target_losses`` has the loss of each kind, ``target_objective`` what
a target adds to the objective, with labels for its unimodal tasks, and ``validation`` how an epoch
is told from a better one. ``label_record`` writes what generators made of unimodal labels, and
``recorded_labels`` reads it.
"""
