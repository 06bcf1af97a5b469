r"""The format for models whose template knows no tools: we describe them (`generic_prompt.py`).

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    </tool_call>

That is Hermes: many models have seen it in training whatever their template says, the markers can't be taken for an
answer, and what isn't a call stays plain text that streams. Small models leave the markers out at times, so an object
at the start of a line that names one of the tools counts as well.
"""

from __future__ import annotations

from server.chat.formats.hermes import Hermes


class Generic(Hermes):
    name = "generic"
    bare = "{"

    def recognises(self, template: str) -> bool:
        return True
