r"""DeepSeek's markup language: elements whose names begin with a token of their own.

    <｜DSML｜function_calls>
    <｜DSML｜invoke name="get_weather">
    <｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>
    <｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>
    </｜DSML｜invoke>
    </｜DSML｜function_calls>

V3.2; V4 with `tool_calls` for `function_calls`.
"""

from __future__ import annotations

from typing import ClassVar

from server.chat.formats.format import Signs, Texts
from server.chat.formats.invoke_xml import InvokeXml

DSML = "｜DSML｜"


class DeepSeekDsml(InvokeXml):
    """V4."""

    name = "deepseek-dsml"
    signs: ClassVar[Signs] = ((DSML, "tool_calls"),)
    openers: ClassVar[Texts] = (f"<{DSML}tool_calls>", f"<{DSML}function_calls>")
    leftovers: ClassVar[Texts] = (f"</{DSML}tool_calls>", f"</{DSML}function_calls>")
    tokens: ClassVar[Texts] = (DSML,)
    calls_end_thinking = True
    prefix = DSML
    says_strings = True


class DeepSeekDsmlFunctions(DeepSeekDsml):
    """V3.2."""

    name = "deepseek-dsml-functions"
    signs = ((DSML, "function_calls"),)
    openers = DeepSeekDsml.openers[::-1]
    leftovers = DeepSeekDsml.leftovers[::-1]
