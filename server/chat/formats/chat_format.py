"""A model's format: what the routes work with.

    chat = recognise(template.source)                     # registry.py
    ids = chat.token_ids(vocabulary.pieces)

    tokens = chat.marker_tokens(ids, control, tools=bool(tools))
    grammar = chat.constraint(tools, choice, prompt, ids)
    parser = chat.parser(tools, prompt, tokens)
    for text in deltas:
        events = parser.feed(text)
    events = parser.finish()

The first two once per model, the rest per request, a parser per sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from server.chat.formats.format import Format, Reading, Writing
from server.chat.formats.grammar import Grammar, InputNotEnforceable
from server.chat.formats.marker_tokens import SPELLED, MarkerTokens
from server.chat.formats.output import Output
from server.chat.formats.parser import MessageParser
from server.chat.formats.reader import Reader, Steps
from server.chat.formats.thinking import THINK, Thinking
from server.chat.formats.tools import Tool, ToolChoice


class ChatFormat(msgspec.Struct, frozen=True):
    """How a model's messages are written: its format for tool calls, and for thinking."""

    format: Format
    thinking: Thinking | None
    """None: its template shows none. A block that the model opens all the same is read as one."""

    @property
    def thinks(self) -> bool:
        """Whether its models are known to think."""
        return self.thinking is not None or self.format.has_thinking

    def tokens(self, *, tools: bool) -> frozenset[str]:
        """Texts that may be single tokens, and that matter then; `tools`: if there are calls to be read."""
        thinking = self.thinking or THINK
        own = self.format.tokens if tools else self.format.tokens_without_tools
        return frozenset((*own, *thinking.tokens))

    def token_ids(self, pieces: Sequence[bytes]) -> dict[str, int]:
        """Which of these texts are single tokens of the vocabulary, of whatever kind."""
        texts = {text.encode(): text for text in self.tokens(tools=True)}
        return {texts[piece]: token for token, piece in enumerate(pieces) if piece in texts}

    def marker_tokens(self, ids: Mapping[str, int], control: Collection[int], *, tools: bool) -> MarkerTokens:
        """The tokens that parsers must be given as characters. `ids`: as `token_ids` has them."""
        names = self.tokens(tools=tools)
        return MarkerTokens({name: token for name, token in ids.items() if name in names}, control)

    def parser(
        self,
        tools: Sequence[Tool] = (),
        prompt: str = "",
        tokens: MarkerTokens = SPELLED,
        *,
        many: bool = True,
        limited: bool = False,
        settles: bool = False,
    ) -> MessageParser:
        """For one sequence that the `constraint` made of the same holds for.

        `tools`: those that may be called; what looks like another call is content. `prompt`: at least its last lines.
        `many`: there may be several calls. `limited`: thinking has a budget. `settles`: the answer isn't free.
        """
        by_name = {tool.name: tool for tool in tools}
        thinking = self.thinking or THINK

        def read(reader: Reader, out: Output) -> Steps[None]:
            reading = Reading(reader, out, by_name, many, thinking, limited, prompt, settles)
            return self.format.read_message(reading)

        return MessageParser(read, tokens)

    def constraint(
        self,
        tools: Sequence[Tool],
        choice: ToolChoice,
        prompt: str,
        token_ids: Mapping[str, int],
        content: str | None = None,
        budget: int | None = None,
    ) -> str | None:
        """The grammar that a message must follow, for llguidance; None if it is free.

        `token_ids`: the markers that are single tokens. `content`: the body of a Lark rule for the answer
        (`%json {…}`), if that isn't free; it begins after thinking. `budget`: tokens that thinking may take, None
        being any number. Raises GrammarTooLarge, InputNotEnforceable or LimitNotEnforceable.
        """
        usable = choice.among(tools)
        if not usable and content is None and (budget is None or not self.thinks):
            return None
        for tool in usable:
            if tool.input_rule is not None and not self.format.verbatim:
                raise InputNotEnforceable(
                    f"The custom tool '{tool.name}' can't be held to its 'lark' grammar: this model doesn't write"
                    " calls as JSON."
                )
        writing = Writing(
            tools=usable,
            required=choice.mode == "required",
            many=choice.parallel,
            thinking=self.thinking,
            prompt=prompt,
            content=content,
            budget=budget,
        )
        names = self.tokens(tools=bool(usable))
        grammar = Grammar({text: token_ids[text] for text in sorted(names) if text in token_ids})
        return grammar.text(self.format.write_message(grammar, writing))
