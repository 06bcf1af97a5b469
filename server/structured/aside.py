"""Threads for what clients' tools, schemas and grammars take to look through.

Apart from those that everything else shares, templates and prompts among them: the costliest that is allowed takes
tenths of a second, and many at once must hold up only each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

N_THREADS = 2

_threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="structure")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


async def aside(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """What the function returns, or raises."""
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: function(*args, **kwargs))
