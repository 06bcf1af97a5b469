"""The built-in chat templates, word for word, and which template a model gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.base import TokenizerInfo
from server.chat.builtin import BUILTIN, builtin, chosen, load
from server.chat.template import ChatTemplate, ChatTemplateError

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
LLAMA3_TOKENS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}

HI = [{"role": "user", "content": "Hi"}]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]
ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)

PROMPTS = {
    "chatml": (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama2": (
        "<s>[INST] Hi [/INST]",
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]",
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "mistral": (
        "<s>[INST] Hi [/INST]",
        "<s>[INST] Be brief.\n\nHi [/INST] Hello.</s>[INST] Bye [/INST]",
    ),
    "vicuna": (
        VICUNA + "USER: Hi ASSISTANT:",
        "Be brief. USER: Hi ASSISTANT: Hello.</s>USER: Bye ASSISTANT:",
    ),
    "alpaca": (
        ALPACA + "### Instruction:\nHi\n\n### Response:\n",
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello.</s>\n\n### Instruction:\nBye\n\n### Response:\n",
    ),
}


def template(name: str) -> ChatTemplate:
    return ChatTemplate(builtin(name), LLAMA3_TOKENS if name == "llama3" else TOKENS)


def test_every_builtin_is_tested() -> None:
    assert set(PROMPTS) == set(BUILTIN)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_prompt_word_for_word(name: str) -> None:
    hi, talk = PROMPTS[name]
    assert template(name).render(HI) == hi
    assert template(name).render(TALK) == talk


@pytest.mark.parametrize("name", BUILTIN)
def test_without_a_generation_prompt_the_assistant_has_not_begun(name: str) -> None:
    without = template(name).render(HI, add_generation_prompt=False)
    assert PROMPTS[name][0].startswith(without)
    assert "assistant<" not in without
    assert not without.rstrip().endswith(("ASSISTANT:", "Response:", "assistant"))


@pytest.mark.parametrize("name", BUILTIN)
def test_markup_that_the_model_lacks_is_left_out(name: str) -> None:
    text = ChatTemplate(builtin(name)).render(TALK)
    assert "<s>" not in text
    assert "None" not in text
    assert "Bye" in text


@pytest.mark.parametrize("name", ["llama2", "mistral", "vicuna", "alpaca"])
def test_a_role_without_a_place_is_refused(name: str) -> None:
    with pytest.raises(ChatTemplateError, match="role tool"):
        template(name).render([*HI, {"role": "tool", "content": "1"}])


@pytest.mark.parametrize("name", BUILTIN)
def test_parts_and_developer_messages(name: str) -> None:
    def parts(text: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": text}]

    messages = [{"role": m["role"].replace("system", "developer"), "content": parts(m["content"])} for m in TALK]
    assert template(name).render(messages) == PROMPTS[name][1]


NO_TOKENS = TokenizerInfo(
    pieces=[b"<s>", b"</s>"],
    control_tokens=frozenset({0, 1}),
    eog_tokens=frozenset({1}),
    bos=0,
    eos=1,
    eot=None,
    add_bos=True,
    add_eos=False,
    fim_prefix=None,
    fim_suffix=None,
    fim_middle=None,
    fim_pad=None,
    fim_repo=None,
    fim_separator=None,
)


def test_what_is_asked_for_comes_before_the_models_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("é{{ bos_token }}{{ messages[0].content }}", encoding="utf-8")
    own = "own {{ eos_token }}"
    loaded = load(str(file), own, NO_TOKENS)
    assert loaded is not None
    assert loaded.render(HI) == "é<s>Hi"
    loaded = load(None, own, NO_TOKENS)
    assert loaded is not None
    assert loaded.render(HI) == "own </s>"
    assert load(None, None, NO_TOKENS) is None
    assert chosen("chatml") == builtin("chatml")
    assert chosen("{{ messages }}") == "{{ messages }}"


def test_a_template_that_is_not_there_is_told_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"alpaca, chatml, llama2"):
        load("lama2", None, NO_TOKENS)
    with pytest.raises(ValueError, match="cannot read"):
        load(str(tmp_path), None, NO_TOKENS)


def test_a_broken_template_fails_the_start_if_asked_for_else_the_chat() -> None:
    with pytest.raises(ValueError, match="line 1"):
        load("{% if %}", None, NO_TOKENS)
    own = load(None, "{% if %}", NO_TOKENS)
    assert own is not None
    with pytest.raises(ChatTemplateError, match="line 1"):
        own.render(HI)


def test_tokens_that_the_model_lacks_are_undefined() -> None:
    loaded = load(None, "{{ bos_token is defined }}", msgspec.structs.replace(NO_TOKENS, bos=None))
    assert loaded is not None
    assert loaded.render(HI) == "False"
