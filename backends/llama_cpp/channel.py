"""Typed messages over a local stream socket: how the processes that the API process owns talk to it.

A frame is a 4-byte little-endian length and a msgpack message. The two ends come from `socket.socketpair()`; the
child inherits its end as a file descriptor. `Channel` is the child's face; `async_channel.py` has the API process's,
apart, since children do without asyncio. End of file in the child means that the parent is gone, and then the child has
no one to work for: it exits.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

_T = TypeVar("_T")
_LENGTH = struct.Struct("<I")
_READ_SIZE = 1 << 18


def frame_of(encoder: msgspec.msgpack.Encoder, message: msgspec.Struct) -> bytearray:
    """The bytes of a message."""
    frame = bytearray(_LENGTH.size)
    encoder.encode_into(message, frame, _LENGTH.size)
    _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
    return frame


class Frames(Generic[_T]):
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
        message = self._decoder.decode(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return message


class Channel(Generic[_T]):
    """The child's end, blocking. `send` may be called from any thread; `receive` and `ready` from one."""

    def __init__(self, sock: socket.socket, message_type: Any) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._encoder = msgspec.msgpack.Encoder()
        self._frames: Frames[_T] = Frames(message_type)
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
            self._sock.sendall(frame_of(self._encoder, message))

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
