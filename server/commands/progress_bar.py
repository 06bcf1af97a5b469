"""A bar on a terminal's stderr while something long goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what to call with how much is done, and of how much."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, unit_scale=True, dynamic_ncols=True, disable=None, leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
