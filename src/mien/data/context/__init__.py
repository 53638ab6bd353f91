"""The utterances around a clip, which its text is read with.

``clip_order`` finds the order of the clips of a video, ``neighbours`` those around each of them,
``second_segment`` makes one segment of tokens of their texts, ``turn_speakers`` puts before each of
them who speaks, ``passages`` cuts videos into clips that are read together, and ``stored_context``
gives all clips of a store their context.
"""
