"""One trained model and any recording: answers with intervals, and why."""
