"""GGUF files as files: what a header says, whether a file is whole, and the memory that it would take.

Reads headers only, and knows nothing of llama.cpp's library.
"""
