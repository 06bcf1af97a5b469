"""Which models are to be loaded and which have to leave: plain decisions, without a clock, a file or a process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

State = Literal["unloaded", "loading", "loaded", "stopping"]


class Standing(NamedTuple):
    """What the policy knows of a model. Times are seconds of the monotonic clock."""

    state: State
    size: int
    """Bytes of memory that it takes, or would."""
    running: int = 0
    """Requests that it answers."""
    waiting_since: float | None = None
    """When the first of the requests came that wait for it; None: there are none."""
    used: float = 0.0
    """When it was last of use."""
    turn_ends: float = 0.0
    """Until then it takes new requests even if another model waits for its place."""
    dismissed: bool = False
    """An operator has said that it is to leave."""


class Plan(NamedTuple):
    """Models by their index."""

    load: list[int]
    close: set[int]
    """Those that take no new requests, and are unloaded when nothing runs on them."""
    sleep: list[int]
    """Those to be unloaded because nobody has needed them for long."""
    again: float | None
    """When to look again, if nothing happens until then."""


class Limits(NamedTuple):
    """What the server may use."""

    max_loaded: int = 0
    """Models that may take memory at once; 0: any number."""
    memory: int | None = None
    """Bytes for all of them together. A model that is larger may be loaded alone."""
    idle_after: float | None = None
    """Seconds without a request after which a model sleeps; None: never."""

    def hold(self, models: Iterable[Standing]) -> bool:
        """Whether all these may take memory together."""
        sizes = [model.size for model in models]
        if self.max_loaded and len(sizes) > self.max_loaded:
            return False
        return self.memory is None or len(sizes) <= 1 or sum(sizes) <= self.memory


NO_LIMITS = Limits()


def plan(models: Sequence[Standing], limits: Limits, now: float) -> Plan:
    """Who has waited longest is first, and nobody is loaded before: else a large model might never find room. For it
    leave those that nothing runs on, the least recently used first; then, in the order in which their turns end, those
    whose turn is over, once they have answered what they have begun."""
    here = [i for i, model in enumerate(models) if model.state != "unloaded"]
    waiting = [i for i, model in enumerate(models) if model.state == "unloaded" and model.waiting_since is not None]
    load: list[int] = []
    close = {i for i in here if models[i].dismissed and models[i].state == "loaded"}
    times: list[float] = []
    for i in sorted(waiting, key=lambda i: models[i].waiting_since or 0.0):
        if limits.hold(models[j] for j in (*here, *load, i)):
            load.append(i)
            continue
        stays = [j for j in (*here, *load) if models[j].state != "stopping" and j not in close]
        leaving = _who_leaves(i, stays, models, limits, now)
        if leaving is None:
            times += [models[j].turn_ends for j in stays if models[j].turn_ends > now]
        else:
            close |= leaving
        break
    sleep = []
    for i in here:
        model = models[i]
        if limits.idle_after is not None and model.state == "loaded" and not model.running and i not in close:
            if model.used + limits.idle_after <= now:
                sleep.append(i)
            else:
                times.append(model.used + limits.idle_after)
    return Plan(load, close, sleep, min(times, default=None))


def _who_leaves(
    wanted: int, stays: Sequence[int], models: Sequence[Standing], limits: Limits, now: float
) -> set[int] | None:
    """So that `wanted` may be loaded beside the rest of those that would stay. None: too few can leave for now."""
    loaded = [i for i in stays if models[i].state == "loaded"]
    idle = sorted((i for i in loaded if not models[i].running), key=lambda i: models[i].used)
    over = (i for i in loaded if models[i].running and models[i].turn_ends <= now)
    leaving: set[int] = set()
    for i in (*idle, *sorted(over, key=lambda i: models[i].turn_ends)):
        if limits.hold(models[j] for j in (*stays, wanted) if j not in leaving):
            break
        leaving.add(i)
    return leaving if limits.hold(models[j] for j in (*stays, wanted) if j not in leaving) else None
