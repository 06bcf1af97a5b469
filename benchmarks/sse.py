"""An HTTP response with server-sent events, taken apart after it is over: each event with the time of its last byte."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .client import Segment


@dataclass(frozen=True)
class Event:
    time: float
    """When its last byte arrived, seconds of `perf_counter`."""
    data: bytes
    """What follows `data: `, lines joined."""


@dataclass(frozen=True)
class Reply:
    status: int
    """0: the connection was closed before a whole head had arrived."""
    body: bytes
    events: list[Event]


def parse(segments: Sequence[Segment]) -> Reply:
    """A whole response, or as much of it as has arrived."""
    raw = b"".join(data for _, data in segments)
    head, blank, rest = raw.partition(b"\r\n\r\n")
    if not blank:
        return Reply(0, raw, [])
    first, *fields = head.split(b"\r\n")
    chunked = any(field.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for field in fields)
    pieces = list(_chunks(rest)) if chunked else [(0, rest)]
    body = b"".join(piece for _, piece in pieces)
    arrivals = _Arrivals(segments, pieces, offset=len(raw) - len(rest))
    return Reply(int(first.split()[1]), body, list(_events(body, arrivals)))


def _chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Chunked transfer coding: each chunk with where it starts in `data`. Stops where the data ends."""
    start = 0
    while (end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:end].split(b";")[0] or b"0", 16)
        if size == 0:
            return
        start = end + 2
        yield start, data[start : start + size]
        start += size + 2


class _Arrivals:
    """When each byte of the body arrived."""

    def __init__(self, segments: Sequence[Segment], pieces: Sequence[tuple[int, bytes]], offset: int) -> None:
        """`offset`: where the pieces' positions start in the raw response."""
        self._times = [time for time, _ in segments]
        self._raw_ends: list[int] = []
        end = 0
        for _, data in segments:
            end += len(data)
            self._raw_ends.append(end)
        self._piece_ends: list[int] = []
        self._shifts: list[int] = []
        """What to add to a position in the body to get the one in the raw response, piece by piece."""
        end = 0
        for start, piece in pieces:
            self._shifts.append(offset + start - end)
            end += len(piece)
            self._piece_ends.append(end)

    def of(self, position: int) -> float:
        raw = position + self._shifts[bisect_left(self._piece_ends, position + 1)]
        return self._times[bisect_left(self._raw_ends, raw + 1)]


def _events(body: bytes, arrivals: _Arrivals) -> Iterator[Event]:
    """Whole events that have data; comments and other fields are passed over."""
    start = 0
    separator = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    while (end := body.find(separator, start)) >= 0:
        lines = body[start:end].splitlines()
        data = [line[5:].lstrip(b" ") for line in lines if line.startswith(b"data:")]
        if data:
            yield Event(arrivals.of(end + len(separator) - 1), b"\n".join(data))
        start = end + len(separator)
