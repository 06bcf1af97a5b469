"""How models write calls, format by format: what the parsers are held to.

Written by hand after what the formats' chat templates print, independently of the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from server.chat.formats.deepseek import DeepSeek, DeepSeekFenced
from server.chat.formats.deepseek_dsml import DeepSeekDsml, DeepSeekDsmlFunctions
from server.chat.formats.format import Format
from server.chat.formats.gemma import FunctionGemma, Gemma
from server.chat.formats.generic import Generic
from server.chat.formats.glm import Glm
from server.chat.formats.harmony import Harmony
from server.chat.formats.hermes import Hermes
from server.chat.formats.json_list import CohereList, GraniteList, JsonList, NemotronList, PhiList
from server.chat.formats.kimi import Kimi
from server.chat.formats.llama_json import LlamaJson
from server.chat.formats.minimax import MiniMaxJson, MiniMaxXml
from server.chat.formats.mistral import Mistral, MistralList, MistralWithIds
from server.chat.formats.pythonic import Lfm2, Pythonic
from server.chat.formats.qwen_xml import QwenXml, SeedXml
from server.chat.formats.thinking import THINK, Thinking
from server.chat.formats.tools import Tool

Arguments = dict[str, Any]
Calls = Sequence[tuple[str, Arguments]]


class Written(NamedTuple):
    """A format, and how its models write."""

    format: Format
    calls: Callable[[Calls], str]
    thinking: Thinking | None = THINK
    content: Callable[[str], str] = lambda text: text
    """An answer with nothing behind it."""
    content_before: Callable[[str], str] = lambda text: text + "\n"
    """Text with calls behind it."""
    thought: Callable[[str], str] = lambda text: f"<think>\n{text}\n</think>\n\n"
    prompt: str = ""
    parallel: bool = True
    variant: str = ""
    """Another way in which models of the format write."""

    @property
    def name(self) -> str:
        return self.format.name + self.variant


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> str:
    """Strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else dump(value)


def each(call: Callable[[str, Arguments, int], str], between: str = "", start: str = "", end: str = "") -> Any:
    return lambda calls: start + between.join(call(name, args, i) for i, (name, args) in enumerate(calls)) + end


def named(name: str, arguments: Arguments, index: int) -> str:
    return dump({"name": name, "arguments": arguments})


def hermes(name: str, arguments: Arguments, index: int) -> str:
    return f"<tool_call>\n{named(name, arguments, index)}\n</tool_call>"


def mistral_listed(name: str, arguments: Arguments, index: int) -> str:
    return dump({"name": name, "arguments": arguments, "id": f"abcdefgh{index}"})


def cohere(name: str, arguments: Arguments, index: int) -> str:
    return "    " + dump({"tool_call_id": str(index), "tool_name": name, "parameters": arguments})


def fenced(name: str, arguments: Arguments, index: int) -> str:
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{dump(arguments)}\n```<｜tool▁call▁end｜>"


def bare_deepseek(name: str, arguments: Arguments, index: int) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{dump(arguments)}<｜tool▁call▁end｜>"


def kimi(name: str, arguments: Arguments, index: int) -> str:
    return f"<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>{dump(arguments)}<|tool_call_end|>"


def qwen_xml(wrapper: str, line: str) -> Callable[[str, Arguments, int], str]:
    def write(name: str, arguments: Arguments, index: int) -> str:
        inner = "".join(f"<parameter={k}>{line}{plain(v)}{line}</parameter>\n" for k, v in arguments.items())
        return f"<{wrapper}>\n<function={name}>\n{inner}</function>\n</{wrapper}>"

    return write


def glm(line: str) -> Callable[[str, Arguments, int], str]:
    def write(name: str, arguments: Arguments, index: int) -> str:
        inner = "".join(
            f"<arg_key>{k}</arg_key>{line}<arg_value>{plain(v)}</arg_value>{line}" for k, v in arguments.items()
        )
        return f"<tool_call>{name}{line}{inner}</tool_call>"

    return write


def minimax(name: str, arguments: Arguments, index: int) -> str:
    inner = "".join(f'<parameter name="{k}">{plain(v)}</parameter>\n' for k, v in arguments.items())
    return f'<invoke name="{name}">\n{inner}</invoke>\n'


def dsml(name: str, arguments: Arguments, index: int) -> str:
    inner = "".join(
        f'<｜DSML｜parameter name="{k}" string="{dump(isinstance(v, str))}">{plain(v)}</｜DSML｜parameter>\n'
        for k, v in arguments.items()
    )
    return f'<｜DSML｜invoke name="{name}">\n{inner}</｜DSML｜invoke>\n'


def python(name: str, arguments: Arguments, index: int) -> str:
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def gemma(quote: str, start: str, end: str) -> Callable[[str, Arguments, int], str]:
    def value(thing: Any) -> str:
        if isinstance(thing, str):
            return quote + thing + quote
        if isinstance(thing, dict):
            return "{" + ",".join(f"{k}:{value(v)}" for k, v in thing.items()) + "}"
        if isinstance(thing, list):
            return "[" + ",".join(map(value, thing)) + "]"
        return dump(thing)

    return lambda name, arguments, index: f"{start}call:{name}{value(arguments)}{end}"


def harmony(calls: Calls) -> str:
    return "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{dump(arguments)}"
        + ("<|call|>" if i < len(calls) - 1 else "")
        for i, (name, arguments) in enumerate(calls)
    )


def harmony_role_first(calls: Calls) -> str:
    return "<|call|><|start|>assistant".join(
        f" to=functions.{name}<|channel|>commentary json<|message|>{dump(arguments)}" for name, arguments in calls
    )


MAGISTRAL = Thinking("[THINK]", "[/THINK]")
SEED = Thinking("<seed:think>", "</seed:think>")
COHERE = Thinking("<|START_THINKING|>", "<|END_THINKING|>", anywhere=True)
GEMMA = Thinking("<|channel>thought", "<channel|>", anywhere=True)
APRIEL = Thinking("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")

WRITTEN = [
    Written(Hermes(), each(hermes, "\n")),
    Written(Generic(), each(hermes, "\n")),
    Written(
        LlamaJson(),
        each(lambda name, arguments, index: dump({"name": name, "parameters": arguments}), "\n"),
        parallel=False,
    ),
    Written(Pythonic(), each(python, ", ", "[", "]")),
    Written(Lfm2(), each(python, ", ", "<|tool_call_start|>[", "]<|tool_call_end|>")),
    Written(
        Mistral(),
        each(lambda name, arguments, index: f"[TOOL_CALLS]{name}[ARGS]{dump(arguments)}"),
        thinking=MAGISTRAL,
        thought=lambda text: f"[THINK]{text}[/THINK]",
    ),
    Written(
        MistralWithIds(),
        each(
            lambda name, arguments, index: f"[TOOL_CALLS]{name}[CALL_ID]abcdefgh{index}[ARGS]{dump(arguments)}",
        ),
    ),
    Written(MistralList(), each(mistral_listed, ", ", "[TOOL_CALLS] [", "]")),
    Written(
        DeepSeekFenced(),
        each(fenced, "\n", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    ),
    Written(DeepSeek(), each(bare_deepseek, "", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")),
    Written(
        DeepSeekDsml(),
        each(dsml, "", "<｜DSML｜tool_calls>\n", "</｜DSML｜tool_calls>"),
        content_before=lambda text: text + "\n\n",
    ),
    Written(
        DeepSeekDsmlFunctions(),
        each(dsml, "", "<｜DSML｜function_calls>\n", "</｜DSML｜function_calls>"),
        content_before=lambda text: text + "\n\n",
    ),
    Written(Kimi(), each(kimi, "", "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")),
    Written(QwenXml(), each(qwen_xml("tool_call", "\n"), "\n")),
    Written(
        SeedXml(),
        each(qwen_xml("seed:tool_call", ""), "\n"),
        thinking=SEED,
        thought=lambda text: f"<seed:think>{text}</seed:think>\n",
    ),
    Written(Glm(), each(glm("\n"), "\n")),
    Written(Glm(), each(glm("")), content_before=lambda text: text, variant="-compact"),
    Written(MiniMaxXml(), each(minimax, "", "<minimax:tool_call>\n", "</minimax:tool_call>")),
    Written(MiniMaxJson(), each(named, "\n", "<tool_calls>\n", "\n</tool_calls>")),
    Written(
        JsonList(),
        each(named, ", ", "<tool_calls>[", "]</tool_calls>"),
        thinking=APRIEL,
        thought=lambda text: f"Here are my reasoning steps:\n{text}\n[BEGIN FINAL RESPONSE]\n",
    ),
    Written(NemotronList(), each(named, ", ", "<TOOLCALL>[", "]</TOOLCALL>")),
    Written(
        GraniteList(),
        each(named, ", ", "<|tool_call|>[", "]"),
        content=lambda text: f"<response>{text}</response>",
    ),
    Written(PhiList(), each(named, ", ", "<|tool_call|>[", "]<|/tool_call|>")),
    Written(
        CohereList(),
        each(cohere, ",\n", "<|START_ACTION|>[\n", "\n]<|END_ACTION|>"),
        thinking=COHERE,
        thought=lambda text: f"<|START_THINKING|>{text}<|END_THINKING|>",
        content=lambda text: f"<|START_RESPONSE|>{text}<|END_RESPONSE|>",
    ),
    Written(
        Gemma(),
        each(gemma('<|"|>', "<|tool_call>", "<tool_call|>")),
        thinking=GEMMA,
        thought=lambda text: f"<|channel>thought\n{text}\n<channel|>",
    ),
    Written(FunctionGemma(), each(gemma("<escape>", "<start_function_call>", "<end_function_call>"))),
    Written(
        Harmony(),
        harmony,
        thinking=None,
        content=lambda text: f"<|channel|>final<|message|>{text}",
        content_before=lambda text: f"<|channel|>commentary<|message|>{text}<|end|><|start|>assistant",
        thought=lambda text: f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant",
        prompt="<|start|>assistant",
        parallel=False,
    ),
    Written(
        Harmony(),
        harmony_role_first,
        thinking=None,
        content=lambda text: f"<|channel|>final<|message|>{text}",
        content_before=lambda text: f"<|channel|>commentary<|message|>{text}<|end|><|start|>assistant",
        thought=lambda text: f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant",
        prompt="<|start|>assistant",
        parallel=False,
        variant="-role-first",
    ),
]

BY_NAME = {written.name: written for written in WRITTEN}

TOOLS = [
    Tool(
        "get_weather",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "exact": {"type": "boolean"},
                "options": {
                    "type": "object",
                    "properties": {
                        "unit": {"enum": ["C", "F"]},
                        "hours": {"type": "array", "items": {"type": "number"}},
                    },
                },
            },
            "required": ["city"],
        },
    ),
    Tool("get_time"),
    Tool(
        "note",
        {
            "type": "object",
            "properties": {"text": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["text"],
        },
    ),
]
