"""Messages over a socket pair: typed, in order, whole; the end of the other side is told."""

from __future__ import annotations

import asyncio
import socket
import threading

import msgspec
import pytest

from backends.llama_cpp.async_channel import AsyncChannel
from backends.llama_cpp.channel import Channel


class Ping(msgspec.Struct, tag="ping"):
    number: int
    body: str = ""


class Bias(msgspec.Struct, tag="bias"):
    values: dict[int, float]


Message = Ping | Bias


async def test_messages_travel_both_ways_in_order() -> None:
    ours, theirs = socket.socketpair()
    child: Channel[Message] = Channel(theirs, Message)

    def echo() -> None:
        while (message := child.receive()) is not None:
            child.send(message)
        child.close()

    thread = threading.Thread(target=echo)
    thread.start()
    channel: AsyncChannel[Message] = AsyncChannel(ours, Message)
    await channel.open()
    sent: list[Message] = [Ping(1), Bias({3: float("-inf")}), Ping(2, "ä" * 1_000_000), Ping(3)]
    for message in sent:
        channel.send(message)
    assert [await channel.receive() for _ in sent] == sent
    channel.close()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_each_hands_out_what_is_there_and_what_comes_until_the_child_is_gone() -> None:
    ours, theirs = socket.socketpair()
    channel: AsyncChannel[Message] = AsyncChannel(ours, Message)
    await channel.open()
    received: list[Message] = []
    with Channel[Message](theirs, Message) as child:
        child.send(Ping(1))
        child.send(Ping(2))
        assert await channel.receive() == Ping(1)
        handing_out = asyncio.create_task(channel.each(received.append))
        await asyncio.sleep(0)
        assert received == [Ping(2)]
        child.send(Ping(3))
    await asyncio.wait_for(handing_out, 5)
    assert received == [Ping(2), Ping(3)]
    assert await channel.receive() is None
    channel.send(Ping(4))
    channel.send(Ping(5))


async def test_before_it_is_opened_a_channel_sends() -> None:
    ours, theirs = socket.socketpair()
    channel: AsyncChannel[Message] = AsyncChannel(ours, Message)
    channel.send(Ping(1))
    with Channel[Message](theirs, Message) as child:
        assert child.receive() == Ping(1)
        channel.close()
        assert child.receive() is None


def test_ready_tells_messages_and_the_end_from_silence() -> None:
    ours, theirs = socket.socketpair()
    parent: Channel[Message] = Channel(ours, Message)
    child: Channel[Message] = Channel(theirs, Message)
    assert not child.ready()
    parent.send(Ping(1))
    parent.send(Ping(2))
    assert child.ready(1.0)
    assert child.receive() == Ping(1)
    assert child.ready()
    assert child.receive() == Ping(2)
    assert not child.ready(0.01)
    parent.close()
    assert child.ready(1.0)
    assert child.receive() is None
    with pytest.raises(ConnectionError):
        child.send(Ping(3))
