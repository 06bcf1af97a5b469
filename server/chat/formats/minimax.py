r"""MiniMax, in two generations.

    <tool_calls>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    {"name": "get_time", "arguments": {}}
    </tool_calls>

M1: JSON, a call on each line.

    <minimax:tool_call>
    <invoke name="get_weather">
    <parameter name="city">Oslo</parameter>
    </invoke>
    </minimax:tool_call>

M2: elements; strings are written as they are, everything else as JSON.
"""

from __future__ import annotations

from server.chat.formats.invoke_xml import InvokeXml
from server.chat.formats.wrapped_json import WrappedJson


class MiniMaxJson(WrappedJson):
    name = "minimax-m1"
    signs = (("<tool_calls>\\n{", "</tool_calls>"),)
    openers = ("<tool_calls>",)
    leftovers = ("</tool_calls>",)
    tokens = ("<tool_calls>", "</tool_calls>")
    repeats = False
    before = "\n"
    between = "\n"
    after = "\n</tool_calls>"


class MiniMaxXml(InvokeXml):
    name = "minimax-m2"
    signs = (("<minimax:tool_call>",),)
    openers = ("<minimax:tool_call>",)
    leftovers = ("</minimax:tool_call>",)
    tokens = ("<minimax:tool_call>", "</minimax:tool_call>")
    calls_end_thinking = True
