"""The questions of the evaluation: phrasings, words and subjects that the training text does not hold.

Almost every answer has one right text, which must match exactly; a story is judged by what a story must have.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from demo import mixture
from demo.corpus import capitals, copying, facts, greetings, json_answers, numbers, stories, thinking, tools
from demo.dialogue import Dialogue, Message, Tool, system
from demo.phrasing import Split

HELD_OUT = Split.EVALUATION


@dataclass
class Reply:
    """What the model answered."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)


@dataclass
class Case:
    """A prompt and the judge of its answer; `prompt` is a dialogue, or raw text to continue."""

    prompt: Dialogue | str
    wanted: str
    accepts: Callable[[Reply], bool]

    @property
    def question(self) -> str:
        """The text that must not occur in the training: the last question, or the raw prompt."""
        if isinstance(self.prompt, str):
            return self.prompt
        return str([m for m in self.prompt.messages if m["role"] == "user"][-1]["content"])


def _exactly(prompt: Dialogue, answer: Message) -> Case:
    wanted = str(answer["content"])
    return Case(prompt, wanted, lambda reply: reply.text == wanted and not reply.calls)


def _plain(*skills: mixture.Exchange) -> Callable[[Random], Case]:
    """Cases of skills that need nothing but the question."""

    def make(rng: Random) -> Case:
        question, answer = rng.choice(skills)(rng, HELD_OUT)
        return _exactly(Dialogue(mixture.persona(rng) + [question]), answer)

    return make


def _ordered(
    instruction: mixture.Exchange | Callable[[Random, Split], Message], exchange: mixture.Exchange
) -> Callable[[Random], Case]:
    """Cases of a skill that the system prompt asks for."""

    def make(rng: Random) -> Case:
        order: Any = instruction(rng, HELD_OUT)
        question, answer = exchange(rng, HELD_OUT)
        return _exactly(Dialogue([order, question]), answer)

    return make


def _is_story(subject: str, sentences: int) -> Callable[[Reply], bool]:
    def judge(reply: Reply) -> bool:
        text = reply.text
        return (
            text.count(subject) >= 3
            and len(re.findall(r"[.!?](\s|$)", text)) >= sentences
            and text.endswith("The end.")
        )

    return judge


def _story(rng: Random) -> Case:
    subject = stories.pick_subject(rng, HELD_OUT)
    request = stories.SHORT.pick(rng, HELD_OUT).format(s=stories.article(subject))
    prompt = Dialogue([{"role": "user", "content": request[:1].upper() + request[1:]}])
    return Case(prompt, f"a story about {subject}", _is_story(subject, 4))


def _long_story(rng: Random) -> Case:
    subject = stories.pick_subject(rng, HELD_OUT)
    request = stories.LONG.pick(rng, HELD_OUT).format(s=stories.article(subject))
    prompt = Dialogue([{"role": "user", "content": request[:1].upper() + request[1:]}])
    return Case(prompt, f"a long story about {subject}", _is_story(subject, 16))


def _tool_exchange(rng: Random) -> tuple[list[Tool], list[Message]]:
    skill, name = rng.choice([(tools.weather, "get_weather"), (tools.addition, "add")])
    wanted = [name] if rng.random() < 0.4 else ["get_weather", "add"]
    return tools.offer(rng, HELD_OUT, wanted), skill(rng, HELD_OUT)


def _call(rng: Random) -> Case:
    offered, (question, call, *_) = _tool_exchange(rng)
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in call["tool_calls"]]
    prompt = Dialogue(mixture.persona(rng) + [question], offered)
    return Case(prompt, json.dumps(calls), lambda reply: reply.calls == calls and not reply.text.strip())


def _result(rng: Random) -> Case:
    offered, (*before, answer) = _tool_exchange(rng)
    return _exactly(Dialogue(mixture.persona(rng) + before, offered), answer)


def _two_calls(rng: Random) -> Case:
    question, call, *_ = tools.two_weathers(rng, HELD_OUT)
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in call["tool_calls"]]
    prompt = Dialogue([question], tools.offer(rng, HELD_OUT, ["get_weather"]))
    return Case(prompt, json.dumps(calls), lambda reply: reply.calls == calls)


def _no_call(rng: Random) -> Case:
    question, answer = rng.choice([facts.exchange, greetings.exchange, copying.repeat_exchange])(rng, HELD_OUT)
    return _exactly(
        Dialogue(mixture.persona(rng) + [question], tools.offer(rng, HELD_OUT, ["add", "get_weather"])), answer
    )


def _memory(rng: Random) -> Case:
    told, (question, answer) = copying.memory_exchanges(rng, HELD_OUT)
    between = sum((facts.exchange(rng, Split.TRAIN) for _ in range(rng.randint(0, 4))), [])
    return _exactly(Dialogue(told + between + [question]), answer)


def _long_memory(rng: Random) -> Case:
    """Some 1,000 tokens lie between being told and being asked."""
    told, (question, answer) = copying.memory_exchanges(rng, HELD_OUT)
    between = sum((facts.exchange(rng, Split.TRAIN) for _ in range(40)), [])
    return _exactly(Dialogue(told + between + [question]), answer)


def _long_system_prompt(rng: Random) -> Case:
    """Some 1,000 tokens of sentences that have nothing to do with the question."""
    filler = " ".join(facts.pick_fact(rng).sentence for _ in range(130))
    question, answer = facts.exchange(rng, HELD_OUT)
    return _exactly(Dialogue([system(filler), question]), answer)


def _thinking(rng: Random) -> Case:
    question, answer = thinking.exchange(rng, HELD_OUT)
    wanted, reasoning = answer["content"], answer["reasoning_content"]
    return Case(
        Dialogue([question], think=True), f"<think>{reasoning}</think>{wanted}",
        lambda reply: reply.text == wanted and reply.reasoning == reasoning,
    )  # fmt: skip


def _begins_with(wanted: str, reply: Reply) -> bool:
    return reply.text.startswith(wanted)


def _text(rng: Random) -> Case:
    """A fact's sentence cut before its last word."""
    while True:
        fact = facts.pick_fact(rng)
        start, _, last = fact.sentence.rpartition(" ")
        if last.rstrip(".") == fact.y:
            return Case(start, f" {last}", partial(_begins_with, f" {last}"))


SKILLS: dict[str, Callable[[Random], Case]] = {
    "greetings and who it is": _plain(greetings.exchange),
    "facts": _plain(facts.exchange),
    "sums up to 20 + 20": _plain(numbers.sum_exchange),
    "counting": _plain(numbers.count_exchange),
    "repeat after me": _plain(copying.repeat_exchange),
    "say it two to six times": _plain(copying.times_exchange),
    "bulleted and numbered lists": _plain(copying.list_exchange),
    "short stories": _story,
    "long stories": _long_story,
    "answers in capitals": _ordered(capitals.instruction, capitals.exchange),
    "tool calls": _call,
    "two tool calls at once": _two_calls,
    "answers from tool results": _result,
    "no tool needed": _no_call,
    "JSON asked for in the question": _plain(json_answers.exchange),
    "JSON ordered by the system prompt": _ordered(json_answers.instruction, json_answers.ordered_exchange),
    "remembers what it was told": _memory,
    "remembers over about 1,000 tokens": _long_memory,
    "facts after a system prompt of about 1,000 tokens": _long_system_prompt,
    "thinks first when asked to": _thinking,
    "continues plain text": _text,
}


def cases(skill: str, count: int, seed: int) -> Iterator[Case]:
    """So many different cases of a skill."""
    rng = Random(f"{skill} {seed}")
    seen: set[str] = set()
    while len(seen) < count:
        case = SKILLS[skill](rng)
        key = repr(case.prompt)
        if key not in seen:
            seen.add(key)
            yield case
