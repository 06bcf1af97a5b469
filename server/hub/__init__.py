"""Models from the Hugging Face Hub: found, downloaded, kept in huggingface_hub's own cache, listed and removed.

`name.py` is all of it that may be imported where start-up time counts: the others load huggingface_hub.
"""
