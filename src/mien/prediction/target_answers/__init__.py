"""What is predicted besides sentiment: emotions as classes or labels, scores, intensities.

``target_answer`` has the values, ``answer_targets`` makes them of what a network returns and of
what validation clips say about that, ``target_words`` shows them in a terminal and in rows.
"""
