"""The Jinja environment that chat templates run in: what Hugging Face Transformers gives them, and next to no more.

Templates come out of model files, so they count as hostile: Jinja's immutable sandbox keeps them from Python and from
the caller's data, a time limit from running for ever, and limits of size from filling the memory. Loops, calls and
filters look at the clock; what makes large values of small ones is bounded, one by one and all together.

The one thing more: templates may append to lists that they made themselves, and pop from them. Kimi K2's do, for the
ids of calls, and llama.cpp lets them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from server.chat.sizes import binary_size, filter_size, method_size, shown_size, size

LARGEST = 1 << 24
"""Of one value, and of what a template shows (see `sizes.py`)."""
LARGEST_TOGETHER = 1 << 30
"""Of all that one rendering makes: it may keep it."""
LARGEST_BITS = 1 << 16
"""Of a whole number: dividing takes as long as the square of them."""


class Refused(TemplateError):
    """The template itself called `raise_exception`."""


class TimeLimitExceeded(TemplateError):
    """The template ran too long."""


class Environment(ImmutableSandboxedEnvironment):
    """Compiles and runs templates. Safe to use from several threads at once."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols], finalize=self._shown
        )
        self.filters["tojson"] = _tojson
        del self.filters["urlize"], self.filters["xmlattr"], self.globals["lipsum"]  # for web pages
        self.filters = {name: self._bounded(name, function) for name, function in self.filters.items()}
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = _Dict()
        self.globals["namespace"] = _Namespace
        self._run = threading.local()

    def begin(self, end: float, given: Mapping[str, Any]) -> None:
        """Before each rendering in this thread: from `end` on, a time of the monotonic clock, it raises
        TimeLimitExceeded; and it must not change what it is `given`."""
        self._run.end = end
        self._run.given = given
        self._run.given_lists = None
        self._run.made = 0

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
        _Watching().visit(template)
        return template

    def watched(self, items: Iterable[Any]) -> Iterator[Any]:
        """What every `for` loop goes through."""
        for item in items:
            self._check_clock()
            yield item

    def measured(self, value: Any) -> Any:
        """What every slice goes through, and every filter's result."""
        self._check_clock()
        self._make(size(value))
        if type(value) is int and value.bit_length() > LARGEST_BITS:
            raise SecurityError("a number is too large")
        return value

    def joined(self, *values: Any) -> str:
        """The operator `~`."""
        self._make(sum(map(shown_size, values)))
        return "".join(map(str, values))

    def concat(self, pieces: Iterable[str]) -> str:
        """What is shown, by a template, a macro or a block."""
        kept, length = [], 0
        for piece in pieces:
            length += len(piece)
            if length > LARGEST:
                raise SecurityError("the result is too large")
            kept.append(piece)
        self._make(length)
        return "".join(kept)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if getattr(obj, "__self__", None) is self:  # `_Watching` has put it there
            return obj(*args)
        self._check_clock()
        if getattr(obj, "__name__", "") == "join" and args and not isinstance(args[0], list | tuple):
            args = (list(self.watched(args[0])),)
        self._make(method_size(obj, args, kwargs))
        return self.measured(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):  # nearly always
            self._make(len(left) + len(right))
            return left + right
        if _bits(left) * (_count(right) if operator == "**" else 1) + _bits(right) > LARGEST_BITS:
            raise SecurityError(f"the numbers of '{operator}' are too large")
        self._make(binary_size(operator, left, right), operator)
        return super().call_binop(context, operator, left, right)

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that makes nothing too large."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def filtered(*args: Any, **kwargs: Any) -> Any:
            value, *others = args[first:]
            if name == "join" and not isinstance(value, list | tuple):
                value = list(self.watched(value))
            self._make(filter_size(name, value, others, kwargs))
            return self.measured(function(*args[:first], value, *others, **kwargs))

        return filtered

    def _shown(self, value: Any) -> Any:
        """What every expression that is shown goes through."""
        if not isinstance(value, str):
            self._make(shown_size(value))
        return value

    def _make(self, size: int, by: str = "") -> None:
        made = self._run.made = getattr(self._run, "made", 0) + max(size, 0)
        if size > LARGEST or made > LARGEST_TOGETHER:
            raise SecurityError(f"the result of '{by}' is too large" if by else "a result is too large")

    def _check_clock(self) -> None:
        if time.monotonic() > getattr(self._run, "end", float("inf")):
            raise TimeLimitExceeded("the chat template took too long")


class _Watching(NodeTransformer):
    """Sends what Python would do by itself through the environment."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # as Jinja names them
        self.generic_visit(node)
        node.iter = _through("watched", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  # the same
        self.generic_visit(node)
        return _through("joined", *node.nodes)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802  # the same
        self.generic_visit(node)
        return _through("measured", node) if isinstance(node.arg, nodes.Slice) else node


def _through(method: str, *values: nodes.Node) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), list(values), [], None, None, lineno=values[0].lineno)


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


def _count(value: object) -> int:
    return value if isinstance(value, int) else 1


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0
