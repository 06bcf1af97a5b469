"""How models write tool calls and reasoning: one file per format.

`registry.py` tells a model's format by its chat template; `chat_format.py` is what the routes work with; `format.py` is
what a format consists of: a new one is a file, and two lines in the registry. Nothing here knows HTTP or an engine:
text goes in, events come out, and constraints are grammars as text.
"""
