"""A page and an HTTP API that judge recordings and sentences, on the user's own machine."""
