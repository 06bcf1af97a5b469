r"""Hermes: each call is JSON in an element of its own.

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    </tool_call>

Hermes 2 Pro and 3, Qwen 2.5, Qwen 3, QwQ, Granite 4, MiMo, SmolLM 3, Bielik, Reka, and many others.
"""

from __future__ import annotations

from typing import ClassVar

from server.chat.formats.format import Signs, Texts
from server.chat.formats.wrapped_json import WrappedJson


class Hermes(WrappedJson):
    name = "hermes"
    signs: ClassVar[Signs] = (
        ("<tool_call>", '"arguments"'),
        ("<tool_call>", '\\"arguments\\"'),
        ("<tool_call>", "'arguments'"),
    )
    openers: ClassVar[Texts] = ("<tool_call>",)
    leftovers: ClassVar[Texts] = ("</tool_call>",)
    tokens: ClassVar[Texts] = ("<tool_call>", "</tool_call>")
    before = "\n"
    after = "\n</tool_call>"
