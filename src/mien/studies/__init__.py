"""Studies: many runs side by side, judged together, to one page."""
