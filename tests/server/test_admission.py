"""The bounded queue: who is let in, and when the others are told to come back."""

from __future__ import annotations

import asyncio

import pytest

from server.admission import MAX_RETRY_AFTER, Admission
from server.errors import RETRY_AFTER_SECONDS, APIError
from tests.server.routes.client import chat, completion, error
from tests.server.scripted import MODEL, scripted_state


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refused(admission: Admission, n_parallel: int = 2) -> int:
    """The seconds of Retry-After."""
    with pytest.raises(APIError) as caught:
        admission.check(n_parallel, 0)
    assert (caught.value.status, caught.value.code) == (429, "queue_full")
    return int(caught.value.headers["Retry-After"])


def test_as_many_wait_as_may() -> None:
    admission = Admission(3)
    for _ in range(5):
        admission.check(2, 0)
        admission.enter(1)
    assert refused(admission) == RETRY_AFTER_SECONDS
    admission.leave(1)
    admission.check(2, 0)


def test_what_the_engine_is_done_with_takes_no_place() -> None:
    admission = Admission(0)
    admission.enter(2)
    refused(admission)
    admission.check(2, 1)


def test_nobody_waits() -> None:
    admission = Admission(0)
    admission.check(2, 0)
    admission.enter(2)
    refused(admission)


def test_no_limit() -> None:
    admission = Admission(None)
    admission.enter(10**6)
    admission.check(1, 0)


def test_whoever_finds_a_place_may_need_several() -> None:
    admission = Admission(0)
    admission.check(2, 0)
    admission.enter(50)
    refused(admission)
    admission.leave(50)
    admission.check(2, 0)


@pytest.mark.parametrize(("seconds_each", "most"), [(0.01, 1), (0.5, 5), (1000.0, MAX_RETRY_AFTER)])
def test_retry_after_is_within_the_time_that_the_queue_takes(seconds_each: float, most: int) -> None:
    clock = Clock()
    admission = Admission(10, clock)
    admission.enter(40)
    for _ in range(28):
        clock.now += seconds_each
        admission.leave(1)
    told = {refused(admission) for _ in range(200)}
    assert told <= set(range(1, most + 1))
    assert len(told) > most // 2


def test_times_from_before_a_pause_do_not_count() -> None:
    clock = Clock()
    admission = Admission(0, clock)
    for _ in range(10):
        admission.enter(1)
        clock.now += 1000
        admission.leave(1)
    admission.enter(2)
    assert refused(admission) == RETRY_AFTER_SECONDS


async def test_beyond_the_queue_is_a_429() -> None:
    state, backend = scripted_state(max_queue=1)
    backend.delay = 0.2
    answers = await asyncio.gather(*(chat(state) for _ in range(MODEL.n_parallel + 3)))
    assert sorted(answer.status_code for answer in answers) == [200] * (MODEL.n_parallel + 1) + [429] * 2
    late = next(answer for answer in answers if answer.status_code == 429)
    assert error(late)["code"] == "queue_full"
    assert int(late.headers["retry-after"]) > 0
    assert len(backend.requests) == MODEL.n_parallel + 1
    assert (await chat(state)).status_code == 200


async def test_a_stream_beyond_it_is_a_429_too() -> None:
    state, backend = scripted_state(max_queue=0)
    backend.delay = 0.2
    answers = await asyncio.gather(*(chat(state, stream=True) for _ in range(MODEL.n_parallel + 1)))
    assert sorted(answer.status_code for answer in answers) == [200] * MODEL.n_parallel + [429]


async def test_a_request_of_many_prompts_is_let_in_whole() -> None:
    state, _ = scripted_state(max_queue=0)
    answer = await completion(state, prompt=["hi"] * (MODEL.n_parallel + 5), n=2)
    assert len(answer.json()["choices"]) == 2 * (MODEL.n_parallel + 5)


async def test_the_refused_are_no_requests_of_the_engine() -> None:
    state, backend = scripted_state(max_queue=0)
    backend.delay = 0.2
    await asyncio.gather(*(chat(state) for _ in range(MODEL.n_parallel + 3)))
    finished = [
        sample
        for metric in state.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "paddock_request_success_total"
    ]
    assert {sample.labels["finished_reason"]: sample.value for sample in finished if sample.value} == {
        "stop": MODEL.n_parallel
    }
