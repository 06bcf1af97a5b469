"""Talking to a model from a terminal, and the servers that commands start for themselves."""
