"""Who is loaded and who leaves: single decisions, and whole days of a server played through."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from server.hosting.policy import Limits, Plan, Standing, State, plan


def decide(*models: Standing, max_loaded: int = 0, memory: int | None = None, idle_after: float | None = None) -> Plan:
    return plan(models, Limits(max_loaded, memory, idle_after), 100.0)


def wanted(since: float, size: int = 1) -> Standing:
    return Standing("unloaded", size, waiting_since=since)


def loaded(used: float = 0.0, size: int = 1, running: int = 0, turn_ends: float = 0.0) -> Standing:
    return Standing("loaded", size, running, used=used, turn_ends=turn_ends)


def test_whoever_is_waited_for_is_loaded_if_there_is_room() -> None:
    assert decide(wanted(5), Standing("unloaded", 1), wanted(3)) == Plan([2, 0], set(), [], None)
    assert decide(wanted(5), loaded(), max_loaded=2).load == [0]
    assert decide(wanted(5, size=3), loaded(size=7), memory=10).load == [0]
    assert decide(wanted(5, size=99), memory=10).load == [0], "alone it may try"


def test_the_idle_one_that_was_used_longest_ago_makes_room() -> None:
    assert decide(loaded(7), loaded(3), loaded(5), wanted(9), max_loaded=3) == Plan([], {1}, [], None)
    assert decide(loaded(7, 2), loaded(3, 2), loaded(5, 9), wanted(9, 4), memory=14).close == {1, 2}, (
        "as many as needed"
    )
    assert decide(loaded(3, running=1), loaded(7), wanted(9), max_loaded=2).close == {1}


def test_who_leaves_is_waited_for() -> None:
    leaving = Standing("stopping", 1)
    assert decide(leaving, loaded(3), wanted(9), max_loaded=2) == Plan([], set(), [], None)
    assert decide(Standing("loading", 1), wanted(9), max_loaded=1) == Plan([], set(), [], None)


def test_a_busy_model_takes_no_new_requests_once_its_turn_is_over() -> None:
    busy = loaded(99, running=3, turn_ends=110)
    assert decide(busy, wanted(9), max_loaded=1) == Plan([], set(), [], 110)
    assert decide(loaded(99, running=3, turn_ends=90), wanted(9), max_loaded=1) == Plan([], {0}, [], None)
    first, second = loaded(99, running=1, turn_ends=95), loaded(20, running=1, turn_ends=90)
    assert decide(first, second, wanted(9), max_loaded=2).close == {1}


def test_nobody_is_sent_away_for_room_that_is_not_enough() -> None:
    assert decide(loaded(3, 5), loaded(9, 5, 1, 200), wanted(9, 8), memory=10) == Plan([], set(), [], 200)


def test_nobody_overtakes_who_waits_for_room() -> None:
    assert decide(loaded(9, 8, 1, 200), wanted(5, 9), wanted(7, 1), memory=10).load == []


def test_sleep() -> None:
    models = (loaded(89), loaded(95), loaded(10, running=1), Standing("unloaded", 1))
    assert decide(*models, idle_after=10) == Plan([], set(), [0], 105)
    assert decide(*models).sleep == []


def test_dismissed() -> None:
    told = Standing("loaded", 1, 2, dismissed=True, turn_ends=999)
    assert decide(told).close == {0}
    assert decide(told, loaded(3), wanted(9), max_loaded=2).close == {0}, "it leaves anyway: nobody else has to"


@dataclass
class Played:
    """A model of a server whose requests, loads and unloads take whole seconds."""

    size: int
    seconds: int
    """To load it."""
    state: State = "unloaded"
    until: float = 0.0
    """When its load or unloading ends."""
    closed: bool = False
    used: float = 0.0
    turn_ends: float = 0.0
    running: list[float] = field(default_factory=list)
    """When each request ends."""
    waiting: list[tuple[float, int]] = field(default_factory=list)
    """When each came, and how long it will take."""

    def standing(self) -> Standing:
        since = min((came for came, _ in self.waiting), default=None)
        return Standing(self.state, self.size, len(self.running), since, self.used, self.turn_ends)

    def admit(self, now: float) -> None:
        self.running += [now + takes for _, takes in self.waiting]
        self.waiting = []
        self.used = now

    def advance(self, now: float) -> None:
        if self.running:
            self.used = now
        self.running = [end for end in self.running if end > now]
        if self.state == "loading" and now >= self.until:
            self.state, self.turn_ends = "loaded", now + self.seconds
            self.admit(now)
        elif self.state == "stopping" and now >= self.until:
            self.state, self.closed = "unloaded", False


MODELS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4)), min_size=1, max_size=5)
REQUESTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 9)), max_size=40)
"""Each: for which model, after how many seconds, how long it takes."""


@given(MODELS, REQUESTS, st.integers(0, 3), st.none() | st.integers(8, 20), st.none() | st.integers(1, 5))
def test_every_request_is_answered_within_the_limits(
    sizes: list[tuple[int, int]], requests: list[tuple[int, int, int]], most: int, memory: int | None, idle: int | None
) -> None:
    models = [Played(size, seconds) for size, seconds in sizes]
    coming = [(index % len(models), after, takes) for index, after, takes in requests]
    now, next_at = 0.0, 0.0
    while coming or any(model.waiting or model.running or model.state in ("loading", "stopping") for model in models):
        for model in models:
            model.advance(now)
        while coming and now >= next_at + coming[0][1]:
            index, after, takes = coming.pop(0)
            next_at += after
            model = models[index]
            model.waiting.append((now, takes))
            if model.state == "loaded" and not model.closed:
                model.admit(now)
        step = plan([m.standing() for m in models], Limits(most, memory, idle), now)
        for i in step.load:
            models[i].state, models[i].until = "loading", now + models[i].seconds
        for i, model in enumerate(models):
            if model.state == "loaded":
                reopened = model.closed and i not in step.close
                model.closed = i in step.close
                if reopened:
                    model.admit(now)
                if (model.closed or i in step.sleep) and not model.running:
                    assert not (model.waiting and i in step.sleep)
                    model.state, model.until = "stopping", now + 1
        here = [model for model in models if model.state != "unloaded"]
        assert not most or len(here) <= most
        assert memory is None or len(here) <= 1 or sum(model.size for model in here) <= memory
        assert step.again is None or step.again > now
        now += 1
        assert now < 3000, "somebody waits for ever"
