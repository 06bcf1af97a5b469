"""The findings as a page: docs/chat-template-check.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.chat_templates.comparison import Comparison, Rendering
from tests.chat_templates.conversations import CONVERSATIONS, REASONING
from tests.chat_templates.reference import Refusal

INTRODUCTION = """\
# Real chat templates, checked

<!-- Written by `make templates`. -->

`make templates` downloads the source distribution of llama-cpp-python {version}, which carries {count} real chat
templates (`vendor/llama.cpp/models/templates`), gives each of them six conversations, and compares the prompts with
those of `apply_chat_template` of Transformers {transformers}, character by character. It fails if one differs.
`make templates ARGS="--from PATH"` takes a source distribution that is there already, packed or not, or a folder of
templates of your own; `--show NAME` prints the prompts.

{summary}

`=`: the same, for the conversation as Transformers documents it (arguments of calls are objects).
`= a`: the same, given messages that were adapted first; the letters are explained below the table.
`left out`: the same, and the template doesn't show earlier reasoning there.
`refused`: by both. *calls* and *thinking* are the formats recognised; *read* says whether a call that the template
prints is read back by that format."""

ADAPTATIONS = {
    "no tools": "The template doesn't describe tools, so Paddock does, in the system message; calls and results become "
    "ordinary messages, and `generic` is the format asked for.",
    "format not read": "The same, though the template describes tools: it asks for calls in a form that Paddock can't "
    "read.",
    "calls as text": "The template shows no calls, or isn't given any, tools being described by Paddock: they are the "
    "text of the message, in the recognised format.",
    "arguments as text": "The template prints arguments as they are, or refuses objects: it gets JSON text, which is "
    "what OpenAI's clients send.",
    "content in parts": "The template takes lists of parts only.",
    'content ""': "The template fails on a message with calls that has no `content`, or shows no calls there.",
    "`tools` []": "The template fails if `tools` is none.",
    "lists changed": "The template appends to a list of its own. Paddock lets it; Transformers refuses "
    "(`access to attribute 'append' of 'list' object is unsafe`), so it was compared with Transformers in Jinja's "
    "sandbox that isn't immutable.",
    "no system role": "The template refuses system messages: what they say goes before what the user says next.",
}
_LETTERS = dict(zip(ADAPTATIONS, "abcdefghi", strict=True))


def page(comparisons: Sequence[Comparison], version: str, transformers: str) -> str:
    introduction = INTRODUCTION.format(
        version=version, count=len(comparisons), transformers=transformers, summary=summary(comparisons)
    )
    head = ["template", "calls", "thinking", "read", *(conversation.name for conversation in CONVERSATIONS)]
    rows = [_line(head), _line(["---"] * len(head)), *map(_row, comparisons)]
    used = {kind for rendering in _all(comparisons) for kind in rendering.adapted}
    adaptations = [f"- {_LETTERS[kind]}: {kind}. {why}" for kind, why in ADAPTATIONS.items() if kind in used]
    sections = [introduction, "\n".join(rows), "\n".join(adaptations)]
    for title, remark, lines in SECTIONS:
        if found := [line for comparison in comparisons for line in lines(comparison)]:
            sections += [f"## {title}", *([remark] if remark else []), "\n".join(found)]
    return "\n\n".join(sections) + "\n"


def summary(comparisons: Sequence[Comparison]) -> str:
    renderings = [*_all(comparisons)]
    different = sum(not rendering.same for rendering in renderings)
    refused = sum(rendering.refused for rendering in renderings)
    adapted = sum(rendering.same and bool(rendering.adapted) for rendering in renderings)
    same = len(renderings) - different - refused - adapted
    return (
        f"Of {len(renderings)} prompts {same} are the same, {adapted} are the same given adapted messages, {refused} "
        f"are refused by both, and {different} differ."
    )


def _all(comparisons: Sequence[Comparison]) -> Iterator[Rendering]:
    return (rendering for comparison in comparisons for rendering in comparison.renderings)


def _row(found: Comparison) -> str:
    thinking = f"`{found.thinking}`" if found.thinking else ""
    return _line(
        [found.name, f"`{found.format}`", thinking.replace("|", "\\|"), found.read, *map(_cell, found.renderings)]
    )


def _cell(rendering: Rendering) -> str:
    if rendering.refused:
        return "refused"
    letters = [_LETTERS[kind] for kind in rendering.adapted]
    left_out = ["left out"] if REASONING["reasoning_content"] in rendering.left_out else []
    return " ".join(["=" if rendering.same else "≠", *letters, *left_out])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _different(found: Comparison) -> Iterator[str]:
    for rendering in found.renderings:
        if not rendering.same:
            yield f"- {found.name}, {rendering.conversation}: {_difference(rendering)}"


def _difference(rendering: Rendering) -> str:
    ours, theirs = rendering.ours, rendering.theirs
    for who, said in (("Paddock", ours), ("Transformers", theirs)):
        if isinstance(said, Refusal):
            return f"{who} fails: {said}"
    pairs = enumerate(zip(ours, theirs, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(ours), len(theirs)))
    return f"at character {at}, `{ours[at : at + 30]!r}` instead of `{theirs[at : at + 30]!r}`"


def _refused(found: Comparison) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for rendering in found.renderings:
        if rendering.refused:
            reasons.setdefault(rendering.ours, []).append(rendering.conversation)
    for reason, conversations in reasons.items():
        yield f"- {found.name} ({'; '.join(conversations)}): {reason}"


def _left_out(found: Comparison) -> Iterator[str]:
    for rendering in found.renderings:
        words = [f"“{word}”" for word in rendering.left_out if word != REASONING["reasoning_content"]]
        if words:
            yield f"- {found.name} ({rendering.conversation}): {', '.join(words)}"


SECTIONS = (
    ("Differences", "", _different),
    (
        "Refused by both",
        "Variables that a template needs beside the messages are given in the request's `chat_template_kwargs`.",
        _refused,
    ),
    ("Left out", "What else of a conversation a template doesn't show.", _left_out),
)
