"""Models: one file per model, with its settings, its class and its source."""
