"""Events and their times, whatever the segments a response arrives in."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sse import Event, parse

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
EVENTS = [json.dumps({"n": n, "text": "é" * n}).encode() for n in range(5)] + [b"[DONE]"]


def identity(newline: bytes = b"\n") -> list[bytes]:
    """A response without chunks: head, then a piece per event."""
    return [HEAD + b"\r\n"] + [b"data: " + event + 2 * newline for event in EVENTS]


def chunked() -> list[bytes]:
    """The same in chunks, a comment among the events."""
    pieces = [b": ping\n\n", *identity()[1:]]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"]


@pytest.mark.parametrize("response", [identity(), identity(b"\r\n"), chunked()])
def test_a_segment_per_event(response: list[bytes]) -> None:
    reply = parse([(float(i), data) for i, data in enumerate(response)])
    assert reply.status == 200
    first = next(i for i, data in enumerate(response) if EVENTS[0] in data)
    assert reply.events == [Event(float(first + i), data) for i, data in enumerate(EVENTS)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.sampled_from([identity(), chunked()]))
def test_any_segments(lengths: list[int], response: list[bytes]) -> None:
    raw = b"".join(response)
    cuts = [0, *(cut for cut in accumulate(lengths) if cut < len(raw)), len(raw)]
    segments = [(float(end), raw[start:end]) for start, end in pairwise(cuts)]
    reply = parse(segments)
    assert [event.data for event in reply.events] == EVENTS
    for event in reply.events:
        # A segment's time is where it ends: an event's time is that of the segment that holds its last byte.
        last = raw.index(event.data) + len(event.data) + 1
        assert event.time == next(end for end, data in segments if last < end)


@given(st.integers(0, 400))
def test_a_response_cut_off_anywhere(length: int) -> None:
    raw = b"".join(chunked())[:length]
    events = [event.data for event in parse([(0.0, raw)]).events]
    assert events == EVENTS[: len(events)]


def test_an_error_has_a_body() -> None:
    reply = parse([(0.0, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")])
    assert (reply.status, reply.body, reply.events) == (400, b"{}", [])


def test_no_response_at_all() -> None:
    assert parse([]).status == 0
