"""llama.cpp's C library: start-up, where its log lines go, and which version it is."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp.llama_cpp as C
import msgspec

BINDING = "llama-cpp-python"

COMMITS = {"0.3.36": "0c1e57098"}
"""The llama.cpp that a release of the binding vendors, as its change log says: builds made without git can't tell.
A test compares this with what a build made with git says."""

DEBUG, INFO, WARNING, ERROR, CONTINUED = 1, 2, 3, 4, 5
"""ggml.h's log levels; the binding's own table of them is out of date."""

PREFIX = re.compile(r"^(?:[a-z_]\w*(?:::\w+)*: |error loading model(?: \w+)?: )+")
"""The names of C functions, and generalities, that an error line starts with."""


class Versions(msgspec.Struct, frozen=True):
    """`commit` is "unknown" where neither the library nor COMMITS can tell."""

    binding: str
    llama_cpp: str
    commit: str


class _Log:
    """Takes the library's log lines: keeps the errors, writes all to stderr if `verbose`, hands them to `listener`."""

    def __init__(self) -> None:
        self.verbose = False
        self.listener: Callable[[str], None] | None = None
        self.errors: deque[str] = deque(maxlen=32)
        self._level = INFO

    def take(self, level: int, text: bytes, _user_data: object) -> None:
        """One call of ggml's log callback: a line, or (CONTINUED) a piece of the line before."""
        if level != CONTINUED:
            self._level = level
        message = text.decode(errors="replace")
        if self._level == ERROR and message.strip():
            if level == CONTINUED and self.errors:
                self.errors[-1] += message.rstrip()
            else:
                self.errors.append(message.rstrip())
        if self.listener is not None:
            self.listener(message)
        if self.verbose:
            sys.stderr.write(message)
            sys.stderr.flush()


_log = _Log()
_callback = C.llama_log_callback(_log.take)  # referenced for good: the library keeps a bare pointer


def start(*, verbose: bool = False) -> None:
    """Make the library usable in this process. Calling it again only changes where log lines go."""
    _log.verbose = verbose
    C.llama_log_set(_callback, ctypes.c_void_p(0))
    # On an assertion ggml would start a debugger on this very process, which takes seconds and can hang in a container.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")


def load_backends() -> None:
    """Make it able to compute: a process that only reads vocabularies needs no kernels, and lets GPUs be.

    Builds for any machine (GGML_BACKEND_DL, as in images) keep the kernels for each generation of processors, and those
    for GPUs, in files of their own. llama.cpp would look for them where Python is, and in the current folder.
    """
    library = C._lib  # ggml's functions through llama.cpp's library: by its file name, another copy of ggml would come
    if library.ggml_backend_reg_count() == 0:
        library.ggml_backend_load_all_from_path(str(Path(library._name).parent).encode())
    C.llama_backend_init()


@contextmanager
def listening(take: Callable[[str], None]) -> Iterator[None]:
    """Hand each piece of the log to `take` too, on the thread that logs: a line, or a part of one."""
    _log.listener = take
    try:
        yield
    finally:
        _log.listener = None


def last_error() -> str | None:
    """Why the last call failed, in a line: the first error logged since this was last asked, as it is the most exact.

    llama.cpp goes on with ever more general ones ("failed to load model").
    """
    errors = list(_log.errors)
    _log.errors.clear()
    return PREFIX.sub("", errors[0]).strip() if errors else None


def versions() -> Versions:
    """What is installed."""
    from importlib import metadata  # costs as much as the binding, and the tokenizer's process never asks

    binding = metadata.version(BINDING)
    return Versions(
        binding=binding, llama_cpp=C.llama_version().decode(), commit=_built_commit() or COMMITS.get(binding, "unknown")
    )


def _built_commit() -> str | None:
    """The commit that the build wrote into the library; None if it had no git to ask."""
    from llama_cpp._ggml import libggml

    ggml_commit = libggml.ggml_commit
    ggml_commit.restype = ctypes.c_char_p
    # The release's own sources count as modified there, so "-dirty" says nothing.
    commit = str(ggml_commit().decode()).removesuffix("-dirty")
    return commit if commit and commit != "unknown" else None
