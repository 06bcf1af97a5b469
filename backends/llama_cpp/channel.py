"""Typed messages over a local stream socket: how the API process talks to the processes it owns.

A frame is a 4-byte little-endian length and a msgpack message. The two ends come from `socket.socketpair()`; the
child inherits its end as a file descriptor. `AsyncChannel` is the API process's face, `Channel` the child's. End of
file in the child means that the parent is gone, and then the child has no one to work for: it exits.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

_T = TypeVar("_T")
_LENGTH = struct.Struct("<I")
_READ_SIZE = 1 << 18


def _frame(encoder: msgspec.msgpack.Encoder, message: msgspec.Struct) -> bytearray:
    frame = bytearray(_LENGTH.size)
    encoder.encode_into(message, frame, _LENGTH.size)
    _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
    return frame


class _Frames(Generic[_T]):
    """Bytes in, messages out. `message_type` is a tagged struct or a union of them."""

    def __init__(self, message_type: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[_T] = msgspec.msgpack.Decoder(message_type)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def complete(self) -> bool:
        """Whether `take` would return a message."""
        buffer = self._buffer
        return len(buffer) >= _LENGTH.size and len(buffer) - _LENGTH.size >= _LENGTH.unpack_from(buffer)[0]

    def take(self) -> _T:
        """The next message, which must be complete; raises msgspec.DecodeError if it isn't of the type."""
        end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
        with memoryview(self._buffer) as view, view[_LENGTH.size : end] as body:
            message = self._decoder.decode(body)
        del self._buffer[:end]
        return message


class AsyncChannel(Generic[_T]):
    """The parent's end: `send` never waits, `async for` yields messages until the child is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message_type: Any) -> None:
        self._reader, self._writer = reader, writer
        self._encoder = msgspec.msgpack.Encoder()
        self._frames: _Frames[_T] = _Frames(message_type)

    @classmethod
    async def open(cls, sock: socket.socket, message_type: Any) -> AsyncChannel[_T]:
        """Take over `sock`; messages received are decoded as `message_type`."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, message_type)

    def send(self, message: msgspec.Struct) -> None:
        """Queue a message. After the other end is gone it is dropped: the iterator tells of that."""
        if not self._writer.is_closing():
            self._writer.write(_frame(self._encoder, message))

    async def drain(self) -> None:
        """Wait until the queue is short again; raises ConnectionError if the other end is gone."""
        await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[_T]:
        while True:
            while self._frames.complete():
                yield self._frames.take()
            try:
                data = await self._reader.read(_READ_SIZE)
            except ConnectionError:
                return
            if not data:
                return
            self._frames.feed(data)

    def close(self) -> None:
        """Close the socket: the child's `receive` returns None."""
        self._writer.close()


class Channel(Generic[_T]):
    """The child's end, blocking. `send` may be called from any thread; `receive` and `ready` from one."""

    def __init__(self, sock: socket.socket, message_type: Any) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._encoder = msgspec.msgpack.Encoder()
        self._frames: _Frames[_T] = _Frames(message_type)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._lock = threading.Lock()
        self._ended = False

    @classmethod
    def from_fd(cls, fd: int, message_type: Any) -> Channel[_T]:
        """The inherited end whose descriptor number came on the command line."""
        return cls(socket.socket(fileno=fd), message_type)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message whole; raises ConnectionError if the parent is gone."""
        with self._lock:
            self._sock.sendall(_frame(self._encoder, message))

    def ready(self, timeout: float = 0.0) -> bool:
        """Whether `receive` would return at once (with a message, or with None at the end); waits `timeout` seconds."""
        while not self._ended and not self._frames.complete():
            if not self._poll.poll(timeout * 1000):
                return False
            self._read()
        return True

    def receive(self) -> _T | None:
        """The next message, waiting for it; None when the parent is gone."""
        while not self._frames.complete():
            if self._ended:
                return None
            self._read()
        return self._frames.take()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except ConnectionError:
            data = b""
        self._frames.feed(data)
        self._ended = not data

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Channel[_T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
