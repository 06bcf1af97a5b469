"""Real chat templates, rendered by us and by Transformers: `python -m tests.chat_templates` (`make templates`).

They come with llama-cpp-python's source distribution and aren't in this repository; what was found is in
docs/chat-template-check.md. The suite does the same with small templates of our own.
"""
