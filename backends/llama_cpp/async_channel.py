"""The API process's end of a channel, on its event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from .channel import Frames, frame_of

_T = TypeVar("_T")


class AsyncChannel(asyncio.Protocol, Generic[_T]):
    """The parent's end. Messages are asked for with `receive`, or handed out by `each`.

    Until `open`, which gives it to the running event loop, it can only `send`, and waits; from then on it never does.
    """

    def __init__(self, sock: socket.socket, message_type: Any) -> None:
        """Takes over `sock`; messages received are decoded as `message_type`."""
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._encoder = msgspec.msgpack.Encoder()
        self._frames: Frames[_T] = Frames(message_type)
        self._take: Callable[[_T], None] | None = None
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()

    async def open(self) -> None:
        self._sock.setblocking(False)
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=self._sock)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message. Once opened, it is dropped if the other end is gone: `receive` and `each` tell of that."""
        frame = frame_of(self._encoder, message)
        if self._transport is None:
            self._sock.sendall(frame)
        elif not self._transport.is_closing():
            self._transport.write(frame)

    async def receive(self) -> _T | None:
        """The next message, waiting for it; None when the child is gone."""
        while not self._frames.complete():
            if self._ended.is_set():
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.take()

    async def each(self, take: Callable[[_T], None]) -> None:
        """Call `take` with every message until the child is gone: as it arrives, without a task that must be woken."""
        self._take = take
        try:
            self._hand_out(take)
            await self._ended.wait()
        finally:
            self._take = None

    def close(self) -> None:
        """Close the socket: the child's `receive` returns None."""
        (self._transport or self._sock).close()

    # --- what asyncio calls ---

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        if self._take is not None:
            self._hand_out(self._take)
        else:
            self._arrived.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
        self._arrived.set()

    def _hand_out(self, take: Callable[[_T], None]) -> None:
        while self._frames.complete():
            take(self._frames.take())
