"""Which request an engine dies of: on an engine in plain Python, that some requests kill."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from backends.llama_cpp.backoff import FIRST, LONGEST, WELL, Backoff
from backends.llama_cpp.blame import PROOF, Candidate, Dispatch


class Request(Candidate):
    """`kills_at`: the engine dies when it has generated so many tokens."""

    def __init__(self, length: int, kills_at: int | None = None) -> None:
        super().__init__()
        self.length = length
        self.kills_at = kills_at
        self.n_generated = 0


@dataclass
class Engine:
    """Computes `n_slots` requests at a time, a token of each in a step."""

    n_slots: int
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    n_crashes: int = 0
    given_up: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dispatch = Dispatch(self.waiting.append)
        self.dispatch.open()

    def step(self) -> None:
        while self.waiting and len(self.running) < self.n_slots:
            self.running.append(self.waiting.popleft())
            self.running[-1].begun = True
        if any(request.kills_at == request.n_generated for request in self.running):
            self.die()
            return
        for request in list(self.running):
            request.n_generated += 1
            request.n_received += 1
            if request.n_generated >= request.length:
                self.running.remove(request)
                self.dispatch.remove(request)
        self.dispatch.proceed()

    def die(self) -> None:
        self.n_crashes += 1
        self.running.clear()
        self.waiting.clear()
        if (culprit := self.dispatch.crashed()) is not None:
            self.given_up.append(culprit)
            self.dispatch.remove(culprit)  # as its reader does when it has read of it
        self.dispatch.open()

    def run(self) -> None:
        for _ in range(5000):
            if not len(self.dispatch):
                return
            self.step()
        raise AssertionError("no end in sight")


lengths = st.lists(st.integers(1, 40), max_size=12)


@given(lengths, lengths, st.integers(0, 30), st.integers(1, 5), st.integers(0, 20))
def test_one_request_that_kills_dies_alone(
    before: list[int], after: list[int], kills_at: int, n_slots: int, n_steps: int
) -> None:
    engine = Engine(n_slots)
    poison = Request(kills_at + 1, kills_at)
    for request in (*map(Request, before), poison):
        engine.dispatch.add(request)
    for _ in range(n_steps):
        if len(engine.dispatch):
            engine.step()
    for length in after:
        engine.dispatch.add(Request(length))
    engine.run()
    assert engine.given_up == [poison]
    assert 2 <= engine.n_crashes <= 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, PROOF - 1), st.integers(0, 3)), max_size=15), st.integers(1, 4))
def test_many_that_kill_at_once_take_no_other_with_them(requests: list[tuple[bool, int, int]], n_slots: int) -> None:
    engine = Engine(n_slots)
    poisons = set()
    for kills, place, n_steps in requests:
        request = Request(20, place if kills else None)
        if kills:
            poisons.add(request)
        engine.dispatch.add(request)
        for _ in range(n_steps):
            if len(engine.dispatch):
                engine.step()
    engine.run()
    assert set(engine.given_up) == poisons
    assert engine.n_crashes <= 3 * len(poisons)


def test_two_deaths_far_apart_are_no_ones_fault() -> None:
    engine = Engine(4)
    for _ in range(6):
        engine.dispatch.add(Request(60))
    for _ in range(4):
        for _ in range(PROOF + 4):
            engine.step()
        engine.die()
    engine.run()
    assert not engine.given_up and engine.n_crashes == 4


def test_two_deaths_in_a_row_are_not_the_fault_of_those_that_were_waiting() -> None:
    engine = Engine(1)
    first, second = Request(30), Request(30)
    engine.dispatch.add(first)
    engine.dispatch.add(second)
    for _ in range(2):
        engine.step()
        engine.die()
    assert not engine.given_up, "it may have been the other one, before it was begun"
    engine.step()
    engine.die()
    engine.run()
    assert engine.given_up == [first] and second.crashes == 0


def test_what_kills_the_engine_unbegun_is_not_blamed_on_the_only_one_that_is_begun() -> None:
    engine = Engine(1)
    innocent, poison = Request(30), Request(30)
    engine.dispatch.add(innocent)
    engine.dispatch.add(poison)
    for _ in range(2):
        engine.step()
        engine.die()
    for _ in range(PROOF):
        engine.step()
    assert engine.waiting == deque([poison])
    engine.die()
    engine.run()
    assert innocent not in engine.given_up


def test_what_kills_the_engine_before_it_is_begun_is_found() -> None:
    engine = Engine(2)
    requests = [Request(30) for _ in range(3)]
    for request in requests:
        engine.dispatch.add(request)
    for _ in range(2):
        engine.die()
    assert engine.waiting == deque([requests[2]]), "one by one, the newest first"
    engine.die()
    assert engine.given_up == [requests[2]]
    engine.run()


def test_one_that_has_ended_makes_room_for_the_next_on_trial() -> None:
    engine = Engine(2)
    requests = [Request(30) for _ in range(3)]
    for request in requests:
        engine.dispatch.add(request)
    for _ in range(2):
        engine.step()
        engine.die()
    engine.dispatch.remove(engine.waiting.popleft())
    assert engine.waiting == deque([requests[0]])
    engine.dispatch.remove(requests[2])  # its client has gone, while it was held
    engine.run()
    assert not engine.given_up


def test_the_wait_before_a_start_doubles_and_is_forgotten_once_all_is_well() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    delays = []
    for _ in range(10):
        delays.append(backoff.delay())
        backoff.up()
        now += 1
    assert delays[:4] == [0, FIRST, 2 * FIRST, 4 * FIRST]
    assert delays[-1] == LONGEST
    assert [backoff.delay() for _ in range(5000)][-1] == LONGEST
    backoff.up()
    now += WELL
    assert [backoff.delay(), backoff.delay()] == [0, FIRST]
    backoff.explained()
    assert backoff.delay() == 0
