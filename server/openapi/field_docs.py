"""What the fields of a class mean: the texts under them, which Python itself doesn't keep."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise

PACKAGE = "server."


def field_docs(cls: type) -> dict[str, str]:
    """By field; those of base classes too."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(PACKAGE):
            docs |= _docs_of_module(base.__module__).get(base.__name__, {})
    return docs


@cache
def _docs_of_module(name: str) -> dict[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except OSError:  # installed without its sources
        return {}
    return {node.name: _docs_of_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_of_class(definition: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, text in pairwise(definition.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = inspect.cleandoc(doc)
    return docs
