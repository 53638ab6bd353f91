"""Utterances to answers.

``answer_batches`` sends them through the network; ``companion`` is a second network that answers
further targets; ``target_effects`` are the moments that moved these most; ``described_answers``
says which models they are from. ``person_baseline`` has the person against whom a network reads
voice and face, if it was trained so.
"""
