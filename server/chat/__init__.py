"""Conversations to prompts: chat templates, the built-in ones, and messages as templates expect them."""
