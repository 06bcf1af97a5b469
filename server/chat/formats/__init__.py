"""How models write tool calls and reasoning: one file per format.

`registry.py` tells a model's format by its chat template; `chat_format.py` is what the routes work with; `format.py` is
what a format consists of. Nothing here knows HTTP, tokens or an engine: text goes in, events come out, and constraints
are grammars as text.
"""
