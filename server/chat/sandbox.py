"""The Jinja environment that chat templates run in: what Hugging Face Transformers gives them, and next to no more.

Templates come out of model files, so they count as hostile: Jinja's immutable sandbox keeps them from Python and from
the caller's data, and a time limit from running for ever. Loops and calls look at the clock, and powers and repeated
strings are bounded, as those are what a template can spend much time in.

The one thing more: templates may append to lists that they made themselves, and pop from them. Kimi K2's do, for the
ids of calls, and llama.cpp lets them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

LARGEST_PRODUCT = 1 << 24
"""Characters or items of a repeated string or list, and bits of a power."""


class Refused(TemplateError):
    """The template itself called `raise_exception`."""


class TimeLimitExceeded(TemplateError):
    """The template ran too long."""


class Environment(ImmutableSandboxedEnvironment):
    """Compiles and runs templates. Safe to use from several threads at once."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        self.filters["tojson"] = _tojson
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = _Dict()
        self.globals["namespace"] = _Namespace
        self._run = threading.local()

    def begin(self, seconds: float, given: Mapping[str, Any]) -> None:
        """Before each rendering in this thread: it may take so long, then it raises TimeLimitExceeded, and must not
        change what it is `given`."""
        self._run.end = time.monotonic() + seconds
        self._run.given = given
        self._run.given_lists = None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if type(obj) is list and attr in ("append", "pop"):
            return not self._is_given(obj)
        return super().is_safe_attribute(obj, attr, value)

    def _is_given(self, found: list[Any]) -> bool:
        if self._run.given_lists is None:
            self._run.given_lists = frozenset(map(id, _lists(self._run.given)))
        return id(found) in self._run.given_lists

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        for loop in template.find_all(nodes.For):
            watched = nodes.EnvironmentAttribute("watched")
            loop.iter = nodes.Call(watched, [loop.iter], [], None, None, lineno=loop.lineno)
        return template

    def watched(self, items: Iterable[Any]) -> Iterator[Any]:
        """What every `for` loop goes through."""
        for item in items:
            self._check_clock()
            yield item

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._check_clock()
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            size = _bits(left) * (right if isinstance(right, int) else 1)
        else:
            size = max(_length(left) * _count(right), _length(right) * _count(left))
        if size > LARGEST_PRODUCT:
            raise SecurityError(f"the result of '{operator}' is too large")
        return super().call_binop(context, operator, left, right)

    def _check_clock(self) -> None:
        if time.monotonic() > getattr(self._run, "end", float("inf")):
            raise TimeLimitExceeded("the chat template took too long")


def _lists(data: Any) -> Iterator[list[Any]]:
    """All in it, however deep."""
    left = [data]
    while left:
        item = left.pop()
        if isinstance(item, list):
            yield item
            left.extend(item)
        elif isinstance(item, Mapping):
            left.extend(item.values())


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks what an assistant wrote, for training. Here it only has a body."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> Any:
        return caller()


class _Dict:
    """`dict`, without the class's attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace`, without names that start with an underscore: they could shadow what the sandbox relies on."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be a keyword argument of the template's
        for name in dict(*args[1:], **kwargs):
            _refuse_private(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace can't have the attribute {name!r}")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON, where Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object) -> NoReturn:
    raise Refused(str(message))


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0
