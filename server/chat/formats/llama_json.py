r"""Llama 3's JSON: a call is the message, with or without a token before it.

    {"name": "get_weather", "parameters": {"city": "Oslo"}}

Llama 3.1, 3.2, 3.3 and 4. They call one function at a time; `<|python_tag|>` may come first. With no marker to go by,
only an object at the start of a line that names one of the request's tools counts as a call.
"""

from __future__ import annotations

from server.chat.formats.wrapped_json import WrappedJson


class LlamaJson(WrappedJson):
    name = "llama-json"
    signs = (
        ("<|start_header_id|>", '"parameters"'),
        ("<|header_start|>", '"parameters"'),
    )
    openers = ("", "<|python_tag|>", "<|python_start|>")
    leftovers = ("<|python_end|>",)
    tokens = ("<|python_tag|>", "<|python_start|>", "<|python_end|>")
    bare = "{"
    parallel = False
    arguments_key = "parameters"
