"""A load that nobody waits for any more."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from backends.engine_options import EngineOptions
from backends.llama_cpp.channel import Channel
from backends.llama_cpp.engine_handle import MODULE
from backends.llama_cpp.engine_messages import EngineEvent, LoadProgress
from tests.models.families import write_model


def test_it_ends_without_a_word(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.gguf", "llama")
    parent, child = socket.socketpair()
    with child:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(child.fileno())], pass_fds=[child.fileno()], stderr=subprocess.PIPE
        )
    with Channel[EngineEvent](parent, EngineEvent) as channel:
        channel.send(EngineOptions(model_path=str(model)))
        assert isinstance(channel.receive(), LoadProgress)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"")
