"""Keys: how they are read, kept, found and renewed. No message may repeat one."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

import pytest

from server.access.key_file import KeyFileError, read_keys
from server.access.key_store import LOOK_SECONDS, SETTLE_SECONDS, KeyStore
from server.access.keys import Key, KeyRing, hashed

SECRET = "sk-do-not-repeat-me"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(KeyFileError) as caught:
        read_keys(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert "do-not-repeat-me" not in message
    return message


def test_lines(tmp_path: Path) -> None:
    """llama-server's form."""
    keys = read_keys(write(tmp_path / "keys", f"\ufeff# ours\n\n  {SECRET} \r\nother\n"))
    assert [(key.name, key.sha256) for key in keys] == [("line-3", hashed(SECRET)), ("line-4", hashed("other"))]
    assert not any(key.admin or key.models or key.requests_per_minute for key in keys)


ENTRIES = [
    {"name": "search", "key": SECRET, "models": ["m"], "requests-per-minute": 60, "tokens-per-minute": 1000},
    {"name": "ops.1", "sha256": hashlib.sha256(b"other").hexdigest().upper(), "concurrency": 2, "admin": True},
]
TOML = f"""
[[keys]]
name = "search"
key = "{SECRET}"
models = ["m"]
requests-per-minute = 60
tokens-per-minute = 1000

[[keys]]
name = "ops.1"
sha256 = "{ENTRIES[1]["sha256"]}"
concurrency = 2
admin = true
"""


@pytest.mark.parametrize(("name", "text"), [("keys.toml", TOML), ("keys.json", json.dumps({"keys": ENTRIES}))])
def test_entries(tmp_path: Path, name: str, text: str) -> None:
    assert read_keys(write(tmp_path / name, text)) == [
        Key(
            name="search",
            sha256=hashed(SECRET),
            models=frozenset({"m"}),
            requests_per_minute=60,
            tokens_per_minute=1000,
        ),
        Key(name="ops.1", sha256=hashed("other"), concurrency=2, admin=True),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("keys", f'[[keys]]\nname="a"\nkey="{SECRET}"', "line 1: this is no key (TOML"),
        ("keys", f'{{\n"{SECRET}"', "line 1: this is no key (TOML"),
        ("keys", f'keys = ["{SECRET}"]', "(TOML is read from a file whose name ends in .toml)"),
        ("keys", "schlüssel", "line 1: a key is up to 512"),
        ("keys", "# nothing\n", "holds no key"),
        ("keys.toml", "keys = []", "holds no key"),
        ("keys.toml", f'keys = "{SECRET}"', "Expected `array`"),
        ("keys.toml", f'[[keys]]\nname = "a"\nkey = "{SECRET}', "Unterminated string"),
        ("keys.toml", f'[[keys]]\nname = "a"\nkey = "{SECRET}"\nrpm = 1', "unknown field - at `$.keys[0]`"),
        ("keys.toml", f'{SECRET} = "a"', "unknown field"),
        ("keys.toml", f'[[keys]]\nkey = "{SECRET}"', "missing required field `name`"),
        ("keys.toml", '[[keys]]\nname = "a"', "key a: give either 'key' or 'sha256'"),
        ("keys.toml", f'[[keys]]\nname = "a"\nkey = "{SECRET} x"', "key a: a key is up to"),
        ("keys.toml", f'[[keys]]\nname = "a"\nsha256 = "{SECRET}"', "key a: 'sha256' must be 64"),
        ("keys.toml", f'[[keys]]\nname = "a\\nb"\nkey = "{SECRET}"', "key 1: a name is up to"),
        ("keys.toml", f'[[keys]]\nname = "a"\nkey = "{SECRET}"\nconcurrency = 0', "Expected `int` >= 1"),
        ("keys.toml", f'[[keys]]\nname = "a"\nkey = "{SECRET}"\nmodels = []', "length >= 1"),
        ("keys.json", f'{{"keys": ["{SECRET}"]', "line 1"),
        ("keys.json", f'{{"keys": ["{SECRET}"]}}', "Expected `object`, got `str`"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, text: str, reason: str) -> None:
    assert reason in refusal(write(tmp_path / name, text))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(tmp_path / "binary")


def test_only_hashes_are_kept() -> None:
    ring = KeyRing([Key(name="a", sha256=hashed(SECRET)), Key(name="b", sha256=hashed("other"))])
    assert SECRET not in repr(vars(ring))
    found = ring.find(SECRET.encode())
    assert found is not None and found.name == "a"
    for wrong in (b"", b"sk", SECRET.encode() + b"x", hashed(SECRET).encode(), b"\xff"):
        assert ring.find(wrong) is None


def test_keys_must_differ() -> None:
    with pytest.raises(ValueError, match="the keys a and b are the same"):
        KeyRing([Key(name="a", sha256=hashed("x")), Key(name="b", sha256=hashed("x"))])
    with pytest.raises(ValueError, match="two keys called a"):
        KeyRing([Key(name="a", sha256=hashed("x")), Key(name="a", sha256=hashed("y"))])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def look_again(self) -> None:
        """It is time for the file to be looked at again."""
        self.now += LOOK_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rewrite(path: Path, text: str, *, age: float = 10) -> None:
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))


def test_a_changed_file_is_taken_up(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = write(tmp_path / "keys", "first")
    store = KeyStore([Key(name="flag", sha256=hashed("fixed"))], file, clock)
    rewrite(file, "second\nthird")
    assert store.find(b"first") is not None  # looked at a moment ago
    clock.look_again()
    assert store.find(b"first") is None
    assert store.find(b"second") is not None and store.find(b"fixed") is not None
    assert caplog.messages == [f"new keys from {file}: 3"]


@pytest.mark.parametrize("broken", ["", "two words", "fixed", None])
def test_a_broken_file_is_refused_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    file = write(tmp_path / "keys", SECRET)
    store = KeyStore([Key(name="flag", sha256=hashed("fixed"))], file, clock)
    if broken is None:
        file.unlink()
    else:
        rewrite(file, broken)
    for _ in range(3):
        clock.look_again()
        assert store.find(SECRET.encode()) is not None
    assert len(caplog.messages) == 1 and "the old ones stay" in caplog.messages[0]
    assert SECRET not in caplog.text
    rewrite(file, "better", age=20)
    clock.look_again()
    assert store.find(SECRET.encode()) is None and store.find(b"better") is not None


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    file = write(tmp_path / "keys", "first")
    store = KeyStore([], file, clock)
    rewrite(file, "fir", age=0)
    clock.look_again()
    assert store.find(b"first") is not None
    rewrite(file, "second", age=SETTLE_SECONDS)
    clock.look_again()
    assert store.find(b"second") is not None and store.find(b"first") is None


def test_a_file_that_can_be_read_at_last(tmp_path: Path, clock: Clock) -> None:
    """Its time and its size are those that were refused, as they are after a chmod."""
    file = write(tmp_path / "keys", "first")
    store = KeyStore([], file, clock)
    then = time.time() - 10
    for text in ("two words", "one.words"):
        file.write_text(text)
        os.utime(file, (then, then))
        clock.look_again()
        assert (store.find(b"first") is None) == (text == "one.words")
    assert store.find(b"one.words") is not None


def test_a_file_swapped_for_another_as_kubernetes_does_it(tmp_path: Path, clock: Clock) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        rewrite(tmp_path / version / "keys", f"key-{version}")
    (tmp_path / "data").symlink_to(tmp_path / "1")
    store = KeyStore([], tmp_path / "data" / "keys", clock)
    (tmp_path / "new").symlink_to(tmp_path / "2")
    (tmp_path / "new").rename(tmp_path / "data")
    clock.look_again()
    assert store.find(b"key-2") is not None and store.find(b"key-1") is None
