"""Export: a store in the layouts of other programs."""
