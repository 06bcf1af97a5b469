"""Paddock and its peers side by side: the same model, threads, context and load, in alternating runs."""
