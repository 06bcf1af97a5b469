"""References from one place of a schema to another."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from server.structured.place import Place

_SAFE = "~$!'()*,;:@&=+"


class References:
    """A schema's own: there is no other document to refer to."""

    def __init__(self, root: Any, place: Place) -> None:
        self._root = root
        self._place = place
        identifier = root.get("$id") if isinstance(root, dict) else None
        self._identifier = identifier.rstrip("#") if isinstance(identifier, str) else ""

    def resolve(self, reference: str) -> tuple[Any, Place, str] | None:
        """What it refers to, where that is, and the reference in the form that llguidance takes; None: nothing."""
        pointer = reference.removeprefix(self._identifier)
        if pointer in ("", "#", "#/"):
            return self._root, self._place, "#"
        if not pointer.startswith("#/"):
            return None
        steps = pointer[2:].split("/")
        return self._follow([unquote(step) for step in steps]) or self._follow(steps)

    def target(self, schema: Any) -> Any:
        """The same, for a schema that has been checked: what it refers to; True, which is any value, if nothing."""
        found = self.resolve(schema["$ref"])
        return True if found is None else found[0]

    def _follow(self, steps: list[str]) -> tuple[Any, Place, str] | None:
        target, place, written = self._root, self._place, "#"
        for step in steps:
            key: str | int = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and step.isascii() and step.isdecimal() and len(step) < 7:
                key = int(step)
                if key >= len(target):
                    return None
            elif not isinstance(target, dict) or key not in target:
                return None
            target, place = target[key], place.to(key)
            written += "/" + quote(step, safe=_SAFE)
        return target, place, written
