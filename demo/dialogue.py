"""A dialogue as data, and the same dialogue as the text that the model reads."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

BOS = "<|bos|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
TEXT_END = "<|endoftext|>"
FIM_PREFIX = "<|fim_prefix|>"
FIM_SUFFIX = "<|fim_suffix|>"
FIM_MIDDLE = "<|fim_middle|>"
CONTROL_TOKENS = [TEXT_END, BOS, TURN_START, TURN_END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE]
MARKER_TOKENS = ["<think>", "</think>", "<tool_call>", "</tool_call>"]

TEMPLATE_PATH = Path(__file__).parent / "chat_template.jinja"

Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass
class Dialogue:
    """Messages in OpenAI's form; with `think`, the last answer reasons before it speaks."""

    messages: list[Message]
    tools: list[Tool] = field(default_factory=list)
    think: bool = False


def user(text: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """A message of the assistant."""
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    """A message of the system."""
    return {"role": "system", "content": text}


@cache
def _template() -> Any:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE_PATH.read_text())


def render(dialogue: Dialogue, add_generation_prompt: bool = False) -> str:
    """The text of a dialogue, as Transformers' `apply_chat_template` writes it."""
    text: str = _template().render(
        messages=dialogue.messages,
        tools=dialogue.tools or None,
        enable_thinking=dialogue.think,
        bos_token=BOS,
        add_generation_prompt=add_generation_prompt,
    )
    return text
