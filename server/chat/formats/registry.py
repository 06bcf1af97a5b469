"""All formats, and which of them a model has."""

from __future__ import annotations

from server.chat.formats import thinking
from server.chat.formats.chat_format import ChatFormat
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
from server.chat.formats.plain import Plain
from server.chat.formats.pythonic import Lfm2, Pythonic
from server.chat.formats.qwen_xml import QwenXml, SeedXml

FORMATS: tuple[Format, ...] = (
    Harmony(),
    Gemma(),
    FunctionGemma(),
    Kimi(),
    DeepSeekDsmlFunctions(),
    DeepSeekDsml(),
    DeepSeekFenced(),
    DeepSeek(),
    MistralWithIds(),
    Mistral(),
    MistralList(),
    MiniMaxXml(),
    MiniMaxJson(),
    CohereList(),
    NemotronList(),
    JsonList(),
    PhiList(),
    GraniteList(),
    Lfm2(),
    Pythonic(),
    SeedXml(),
    Glm(),
    QwenXml(),
    Hermes(),
    LlamaJson(),
    Generic(),
)
"""The more specific first; the last takes every template."""

PLAIN = Plain()


def recognise(template: str | None) -> ChatFormat:
    """By the source of the model's chat template; None: it has none."""
    if template is None:
        return ChatFormat(PLAIN, None)
    found = next(known for known in FORMATS if known.recognises(template))
    return ChatFormat(found, thinking.recognise(template))
