"""How much to think, in the variables by which chat templates are told."""

from __future__ import annotations

from typing import Any

_OFF_WORDS = ("none", "no_think")
"""What `reasoning_effort` is where a template knows a word for not thinking at all."""


def asks_thinking(effort: str | None, thinking: bool | None) -> bool | None:
    """Whether a request asks for it: by `enable_thinking`, else by its `effort`; None: it says nothing."""
    return effort != "none" if thinking is None and effort is not None else thinking


def reasoning_variables(
    source: str, effort: str | None, thinking: bool | None = None, budget: int | None = None
) -> dict[str, Any]:
    """For the template with this source.

    `thinking`: whether to think; None: if there is an `effort`, by whether it is "none". `budget`: tokens for it.
    """
    thinking = asks_thinking(effort, thinking)
    variables: dict[str, Any] = {}
    if thinking is not None:
        variables["enable_thinking"] = thinking  # Qwen 3, GLM 4.5, Gemma 4, SmolLM 3, and most others
        variables["thinking"] = thinking  # DeepSeek V3.1, Granite 3.3, Kimi K3
        variables["thinking_mode"] = "enabled" if thinking else "disabled"  # MiniMax M3
    if thinking is False:
        budget = 0
        effort = next((word for word in _OFF_WORDS if _knows_effort(source, word)), None)
    elif effort == "none":
        effort = None
    if budget is not None:
        variables["thinking_budget"] = budget  # Seed-OSS
    if effort is not None:
        variables["reasoning_effort"] = effort  # gpt-oss, Solar, Hunyuan 3
    return variables


def _knows_effort(source: str, word: str) -> bool:
    return "reasoning_effort" in source and (f"'{word}'" in source or f'"{word}"' in source)
