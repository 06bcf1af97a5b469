"""How large the values will be that a chat template is about to make: where one step makes much of little.

Repeating, padding, formatting, replacing, joining, indenting. Sizes are characters and eight times items, about the
bytes that they take; what a template can't enlarge this way has the size 0 here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ITEM = 8
MAX_ITEMS = 1 << 18
"""Of what is shown as text. What is inside counts as often as it is there: lists can hold one thing many times."""
BEYOND = 1 << 62
"""More than is ever allowed."""


def size(value: object) -> int:
    """Of a value by itself, without what its items hold."""
    if isinstance(value, (str, bytes)):  # nearly always; a union would take three times as long
        return len(value)
    return ITEM * len(value) if isinstance(value, (list, tuple, dict)) else 0


def shown_size(value: object) -> int:
    """Of a value's text, about."""
    if isinstance(value, str):
        return len(value)
    total = 0
    left = [value]
    for _ in range(MAX_ITEMS):
        if not left:
            return total
        item = left.pop()
        total += size(item)
        if isinstance(item, Mapping):
            left.extend(item)
            left.extend(item.values())
        elif isinstance(item, list | tuple):
            left.extend(item)
        if len(left) > MAX_ITEMS:
            return BEYOND
    return BEYOND


def binary_size(operator: str, left: object, right: object) -> int:
    match operator, left, right:
        case "%", str(), _:
            return _formatted(left, right if isinstance(right, Mapping | tuple) else (right,))
        case "*", int(), int():
            return 0
        case "*", int(), _:
            return left * size(right)
        case "*", _, int():
            return size(left) * right
        case "+", _, _:
            return size(left) + size(right)
    return 0


def method_size(method: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Of a string's method's result."""
    text = getattr(getattr(method, "__wrapped__", method), "__self__", None)
    if not isinstance(text, str | bytes):
        return 0
    match getattr(method, "__name__", ""), args:
        case (("center" | "ljust" | "rjust" | "zfill"), (int(width), *_)):
            return width
        case "replace", (str(old), str(new), *_):
            return len(text) + str(text).count(old) * len(new)
        case "join", (list() | tuple() as parts,):
            return _joined(parts, len(text))
        case "format", _:
            return _formatted(str(text), (*args, *kwargs.values()))
        case "format_map", (Mapping() as values,):
            return _formatted(str(text), values)
        case (("translate" | "expandtabs" | "join"), _):
            return BEYOND
    return 0


def filter_size(name: str, value: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Of a filter's result. A filter that is called wrongly can be as large as it likes."""
    if name not in _OF_FILTERS:
        return 0
    try:
        return _OF_FILTERS[name](value, *args, **kwargs)
    except TypeError:
        return BEYOND


def _joined(parts: Sequence[Any], separator: int) -> int:
    return sum(size(part) if isinstance(part, str) else shown_size(part) for part in parts) + separator * len(parts)


def _formatted(text: str, values: Mapping[Any, Any] | Sequence[Any]) -> int:
    """Widths are written in the text, or come with the values."""
    given = list(values.values() if isinstance(values, Mapping) else values)
    fields = text.count("%") + text.count("{")
    written = sum(int(digits) if len(digits) < 10 else BEYOND for digits in re.findall(r"\d+", text))
    wide = "*" in text or re.search(r"{[^{}]*{", text) is not None
    if wide and any(not isinstance(value, int) or value > 1000 for value in given):
        return BEYOND
    return written + fields * max((shown_size(value) for value in given), default=0)


def _center(value: object, width: int = 80) -> int:
    return width


def _indent(value: object, width: int | str = 4, first: bool = False, blank: bool = False) -> int:
    return (str(value).count("\n") + 1) * (len(width) if isinstance(width, str) else width)


def _replace(value: object, old: object, new: object, count: int | None = None) -> int:
    return str(value).count(str(old)) * len(str(new))


def _join(value: object, d: str = "", attribute: object = None) -> int:
    return _joined(value, len(d)) if isinstance(value, list | tuple) else 0


def _batch(value: object, linecount: int, fill_with: object = None) -> int:
    return ITEM * linecount


def _slice(value: object, slices: int, fill_with: object = None) -> int:
    return ITEM * slices


def _wordwrap(
    value: object,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> int:
    return len(str(value)) // max(width, 1) * len(wrapstring or "")


def _truncate(
    value: object, length: int = 255, killwords: bool = False, end: str = "", leeway: int | None = None
) -> int:
    return len(end)


def _tojson(value: object, ensure_ascii: bool = False, indent: int | None = None, **__: object) -> int:
    return shown_size(value) * ((indent or 0) + 1)


def _sum(value: object, attribute: object = None, start: object = 0) -> int:
    return 0 if isinstance(start, int | float) else BEYOND


def _shown(value: object, *_: object, **__: object) -> int:
    return shown_size(value)


_OF_FILTERS: Mapping[str, Callable[..., int]] = {
    "center": _center,
    "indent": _indent,
    "replace": _replace,
    "join": _join,
    "batch": _batch,
    "slice": _slice,
    "wordwrap": _wordwrap,
    "truncate": _truncate,
    "tojson": _tojson,
    "sum": _sum,
    "format": lambda value, *args, **kwargs: _formatted(str(value), kwargs or args),
    **dict.fromkeys(
        ("string", "pprint", "upper", "lower", "capitalize", "title", "trim", "striptags", "escape", "e"), _shown
    ),
    **dict.fromkeys(("forceescape", "safe", "urlencode", "wordcount"), _shown),
}
