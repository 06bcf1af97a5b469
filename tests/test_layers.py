"""Who imports whom: the server knows engines by their contract alone, and engines know nothing of the server."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
ABOUT_LLAMA_CPP = {f"server/commands/{name}.py" for name in ("devices", "perplexity", "quantize", "rpc_worker")}
"""Commands that are llama.cpp's own."""


@cache
def imports(folder: str) -> dict[str, set[str]]:
    """What each file of a folder imports, wherever in it."""
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / folder).rglob("*.py")}
    return {
        path: {name for node in ast.walk(ast.parse(source)) for name in imported(node)}
        for path, source in files.items()
    }


def importers(package: str, *folders: str) -> Iterator[str]:
    """The files that import it, or something in it."""
    for path, names in chain.from_iterable(imports(folder).items() for folder in folders):
        if any(name == package or name.startswith(f"{package}.") for name in names):
            yield path


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports; what it takes out of a module may be one too."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str() as module, level=0):
            return [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return []


def test_backends_know_nothing_of_the_server() -> None:
    assert not [*importers("server", "backends")]


def test_llama_cpp_is_behind_the_contract() -> None:
    outside = {path for path in importers("backends.llama_cpp", "backends", "server") if not within(path)}
    assert outside == {"backends/backend_of.py", "server/cli.py", *ABOUT_LLAMA_CPP}


def test_the_binding_is_used_in_one_place() -> None:
    found = [*importers("llama_cpp", "backends", "server")]
    assert found and all(map(within, found))


def within(path: str) -> bool:
    return path.startswith("backends/llama_cpp/")
