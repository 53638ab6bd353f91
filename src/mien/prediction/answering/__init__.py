"""Utterances to answers.

``answer_batches`` sends them through the network; ``person_baseline`` has the person against whom a
network reads voice and face, if it was trained so.
"""
