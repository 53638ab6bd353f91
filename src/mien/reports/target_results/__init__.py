"""What runs give of classes, labels, intensities and scores beside sentiment, in tables.

``shown_metrics`` has the metrics that tables show and their names, ``target_text`` the tables of a
run for the terminal, ``target_page`` the sections of its report. ``compared_scores`` finds what
several runs predict of the same clips, ``compared_captions`` says what stands above their tables,
and ``target_labels_report`` measures the labels that a run generated.
"""
