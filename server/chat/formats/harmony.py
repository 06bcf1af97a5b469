r"""gpt-oss's harmony: a message is a sequence of messages, each on a channel, some to a tool.

    <|channel|>analysis<|message|>The user asks for the weather.<|end|>
    <|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}
    <|call|>

(on one line). The prompt ends with `<|start|>assistant`. `analysis` is thinking; `final`, and `commentary` to nobody,
are content. The recipient also stands before the channel at times. `<|call|>` and `<|return|>` end generation.
"""

from __future__ import annotations

import re

from server.chat.formats.format import Format, Reading, Writing
from server.chat.formats.grammar import FREE, Grammar, quoted
from server.chat.formats.json_text import read_object
from server.chat.formats.markers import markers
from server.chat.formats.reader import Malformed, Steps
from server.chat.formats.tools import Tool

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"

_MARKERS = markers(START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL, RETURN)
_WORDS = re.compile(r"[\w\s.,:=/-]*")
_ROLE = re.compile(r"[^<\s]*")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_NAMESPACE = "functions."


class Harmony(Format):
    name = "harmony"
    signs = (("<|channel|>", "<|message|>", "<|start|>"),)
    tokens = (START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL, RETURN)
    tokens_without_tools = tokens
    verbatim = True
    has_thinking = True

    def read_message(self, reading: Reading) -> Steps[None]:
        reader, out = reading.reader, reading.out
        channel = _CHANNEL.findall(reading.prompt[reading.prompt.rfind(START) :])
        if channel and reading.prompt.rfind(MESSAGE) > reading.prompt.rfind(CHANNEL):
            yield from self._read_body(reading, channel[-1], None)  # the prompt ends inside a message
        while (yield from reader.peek()):
            if (yield from reader.literal(START)):
                yield from reader.run(_ROLE)
                out.block()
            if (yield from reader.before(CHANNEL, MESSAGE, CONSTRAIN, "to=")):
                yield from self._read_one(reading)
            else:
                yield from self._read_body(reading, "final", None)

    def _read_one(self, reading: Reading) -> Steps[None]:
        """A header, and what it announces."""
        reader = reading.reader
        header = ""
        while (marker := (yield from reader.literal(MESSAGE, CHANNEL, CONSTRAIN))) != MESSAGE:
            part = marker or (yield from reader.run(_WORDS))
            if not part:
                if (yield from reader.peek()):
                    reader.rewind()
                    yield from self._read_body(reading, "final", None)
                return  # cut off before the message itself began
            header += part
        reading.out.block()
        channels, recipient = _CHANNEL.findall(header), _RECIPIENT.search(header)
        yield from self._read_body(reading, channels[-1] if channels else "final", recipient and recipient[1])

    def _read_body(self, reading: Reading, channel: str, recipient: str | None) -> Steps[None]:
        reader, out = reading.reader, reading.out
        name = (recipient or "").removeprefix(_NAMESPACE)
        if reading.tools and name and (name in reading.tools or name != recipient):
            before = out.calls
            try:
                yield from self._read_call(reading, name)
            except Malformed:
                reading.mend(before, verbatim=self.verbatim)
        write = out.reasoning if channel == "analysis" else out.content
        while (marker := (yield from reader.until(_MARKERS, write))) in (CHANNEL, MESSAGE, CONSTRAIN):
            reader.commit()  # stray
        if marker == START:
            yield from reader.run(_ROLE)
        if marker is not None:
            out.block()

    def _read_call(self, reading: Reading, name: str) -> Steps[None]:
        yield from reading.reader.spaces()
        if (yield from reading.reader.peek()) != "{":
            raise Malformed
        reading.start_call(name)
        yield from read_object(reading.reader, reading.out.arguments)
        reading.out.end_call()

    def write_message(self, grammar: Grammar, writing: Writing) -> str:
        channel, message = grammar.literal(CHANNEL), grammar.literal(MESSAGE)
        thought = grammar.rule("thought", f'{channel} "analysis" {message} {grammar.until(END, writing.budget)}')
        spoken = grammar.rule("spoken", f'{channel} "commentary" {message} {grammar.until(END)}')
        ways = [self._write_call(grammar, tool) for tool in writing.tools]
        if not writing.required:
            kind = self._write_kind(grammar) if writing.content is not None else ""
            ways.append(f'{channel} "final" {kind} {message} {writing.content or FREE}')
        before = f"({thought} | {spoken})" if writing.content is None and not writing.required else thought
        return f'({before} {grammar.literal(START)} "assistant")* {grammar.one_of("last", ways)}'

    def _write_call(self, grammar: Grammar, tool: Tool) -> str:
        channel = f'{grammar.literal(CHANNEL)} ("commentary" | "analysis")'
        recipient = f'" to=" {quoted(_NAMESPACE + tool.name)}'
        arguments = grammar.arguments(tool)
        header = f"({channel} {recipient} | {recipient} {channel}) {self._write_kind(grammar)}"
        return f"{header} {grammar.literal(MESSAGE)} {arguments}"

    def _write_kind(self, grammar: Grammar) -> str:
        """What the message is said to hold."""
        return f'(" json" | (" ")? {grammar.literal(CONSTRAIN)} "json")?'
