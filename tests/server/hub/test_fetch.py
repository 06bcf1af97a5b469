"""Models from the Hub: huggingface_hub itself, against a stand-in for the Hub's HTTP API."""

from __future__ import annotations

import errno
import re
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub.file_download
import pytest
from huggingface_hub import constants

from server.hub.fetch import HubModel, fetch
from server.hub.name import HubAccess, HubError, HubName

from .conftest import point_at
from .hub import TOKEN, Hub, Repo, digest

REPO = "org/model-GGUF"
SMALL = b"GGUF" + bytes(range(256)) * 40
LARGE = bytes(i * i % 251 for i in range(300_000))
FILES = {"README.md": b"# Hi", "m-Q4_K_M.gguf": LARGE, "m-Q8_0.gguf": SMALL, "mmproj-F16.gguf": b"GGUF mmproj"}


@dataclass
class Getter:
    """Gets a model by its name."""

    said: list[str]

    def __call__(
        self, text: str, *, token: str | None = None, offline: bool = False, file: str | None = None
    ) -> HubModel:
        name = HubName.parse(text)
        assert name is not None
        return fetch(replace(name, file=file), HubAccess(token, offline), self.said.append)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def get(said: list[str]) -> Getter:
    return Getter(said)


def failure(get: Getter, text: str, *, token: str | None = None, offline: bool = False) -> str:
    with pytest.raises(HubError) as caught:
        get(text, token=token, offline=offline)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_is_got_and_kept(hub: Hub, cache: Path, get: Getter, said: list[str]) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    (commit,) = hub.repos[REPO].commits
    model = get(REPO)
    assert model.path.read_bytes() == LARGE
    assert model.path == cache / "models--org--model-GGUF" / "snapshots" / commit / "m-Q4_K_M.gguf"
    assert (str(model.name), model.commit, model.size) == (f"{REPO}:Q4_K_M", commit, len(LARGE))
    assert said == [f"downloading m-Q4_K_M.gguf (300 kB) from {REPO} at {commit[:12]}"]
    assert [transfer.sent for transfer in hub.transfers] == [len(LARGE)]
    # huggingface_hub finds it there, and so do we
    found = huggingface_hub.hf_hub_download(REPO, "m-Q4_K_M.gguf", cache_dir=cache, local_files_only=True)
    assert found == str(model.path)
    assert get(REPO) == model
    assert len(hub.transfers) == len(said) == 1


def test_what_huggingface_hub_has_got_is_not_got_again(hub: Hub, cache: Path, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    path = huggingface_hub.hf_hub_download(REPO, "m-Q8_0.gguf", cache_dir=cache, endpoint=hub.url)
    assert str(get(f"{REPO}:q8_0").path) == path
    assert len(hub.transfers) == 1


def test_all_parts_are_got_and_the_first_is_the_path(hub: Hub, get: Getter) -> None:
    parts = {f"Q8_0/m-Q8_0-0000{part}-of-00003.gguf": SMALL + bytes([part]) for part in (1, 2, 3)}
    hub.repos[REPO] = Repo.of(FILES | parts)
    model = get(f"{REPO}", file="Q8_0/m-Q8_0-00002-of-00003.gguf")
    assert [path.read_bytes() for path in model.paths] == list(parts.values())
    assert model.path.name == "m-Q8_0-00001-of-00003.gguf"
    assert get(REPO, offline=True, file="Q8_0/m-Q8_0-00001-of-00003.gguf") == get(
        REPO, file="Q8_0/m-Q8_0-00001-of-00003.gguf"
    )


def test_revisions(hub: Hub, get: Getter) -> None:
    old, new = "1" * 40, "2" * 40
    versions = {old: {"m-Q4_0.gguf": SMALL}, new: {"m-Q4_0.gguf": LARGE}}
    hub.repos[REPO] = Repo(versions, {"main": new, "v1": old, "refs/pr/2": old})
    assert get(f"{REPO}@v1").path.read_bytes() == SMALL
    assert get(REPO).path.read_bytes() == LARGE
    assert get(f"{REPO}@{old}:Q4_0").path.read_bytes() == SMALL
    assert get(f"{REPO}@refs/pr/2").commit == old
    assert [transfer.sent for transfer in hub.transfers] == [len(SMALL), len(LARGE)]
    for revision, commit in (("", new), ("@v1", old), ("@refs/pr/2", old), (f"@{old}", old), (f"@{old[:8]}", old)):
        assert get(REPO + revision, offline=True).commit == commit
    assert failure(get, f"{REPO}@v9") == f"{REPO} has no revision v9"


def test_a_new_version_on_the_hub_is_got(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of({"m-Q4_0.gguf": SMALL})
    get(REPO)
    hub.repos[REPO] = Repo.of({"m-Q4_0.gguf": LARGE})
    hub.damage = True
    assert "SHA-256" in failure(get, REPO)
    assert get(REPO, offline=True).path.read_bytes() == SMALL  # what there is all of
    hub.damage = False
    assert get(REPO).path.read_bytes() == get(REPO, offline=True).path.read_bytes() == LARGE


# --- broken off ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub waits a second before it tries again."""
    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", lambda _: None)


@pytest.mark.usefixtures("impatient")
def test_a_cut_connection_goes_on_where_it_was(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.cut = [100_000, 50_000]
    assert get(REPO).path.read_bytes() == LARGE
    assert [(transfer.start, transfer.sent) for transfer in hub.transfers] == [
        (0, 100_000), (100_000, 50_000), (150_000, 150_000),
    ]  # fmt: skip


@pytest.mark.usefixtures("impatient")
def test_a_later_call_goes_on_where_an_earlier_was(hub: Hub, cache: Path, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.cut = [100_000] + [0] * 20
    assert failure(get, REPO).startswith("the download of m-Q4_K_M.gguf broke off at 100 kB of 300 kB (")
    assert failure(get, REPO, offline=True).startswith(f"{REPO} is not in the cache")
    (partial,) = cache.rglob("*.incomplete")
    assert partial.read_bytes() == LARGE[:100_000]
    hub.cut, hub.transfers = [], []
    assert get(REPO).path.read_bytes() == LARGE
    assert [(transfer.start, transfer.sent) for transfer in hub.transfers] == [(100_000, 200_000)]
    assert not list(cache.rglob("*.incomplete"))


@pytest.mark.usefixtures("impatient")
def test_a_cdn_that_knows_no_ranges(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.ignore_ranges, hub.cut = True, [100_000]
    assert get(REPO).path.read_bytes() == LARGE


def test_damage_is_noticed(hub: Hub, cache: Path, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.damage = True
    assert failure(get, REPO) == (f"m-Q4_K_M.gguf of {REPO} arrived damaged (its SHA-256 isn't the Hub's): try again")
    assert not list(cache.rglob("*.incomplete"))
    hub.damage = False
    assert get(REPO).path.read_bytes() == LARGE


def test_a_partial_file_that_is_wrong_is_noticed(hub: Hub, cache: Path, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    blobs = cache / "models--org--model-GGUF" / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{digest(LARGE)}.incomplete"
    partial.write_bytes(b"x" * 1000)
    assert "damaged" in failure(get, REPO)
    partial.write_bytes(b"x" * (len(LARGE) + 1))  # longer than the file: begun anew
    assert get(REPO).path.read_bytes() == LARGE


def test_it_says_how_far_it_is(hub: Hub, get: Getter, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.hub.progress.QUIET_SECONDS", 0.0)
    hub.repos[REPO] = Repo.of(FILES)
    get(REPO)
    assert [re.sub(r", at .*/s", "", line) for line in said[1:]] == [
        f"m-Q4_K_M.gguf: {30 * step} kB of 300 kB" for step in range(1, 11)
    ]


def test_two_at_once_get_it_once(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.hold = 100_000
    with ThreadPoolExecutor() as pool:
        first = pool.submit(get, REPO)
        assert hub.held.wait(10)
        second = pool.submit(get, REPO)
        hub.hold = None
        hub.release.set()
        assert first.result() == second.result()
    assert sum(transfer.sent for transfer in hub.transfers) == len(LARGE)


def test_no_room(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    usage = namedtuple("usage", "total used free")(1_000_000, 800_000, 200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert failure(get, REPO) == (
        f"no room for m-Q4_K_M.gguf in {constants.HF_HUB_CACHE}: it takes 300 kB, and 200 kB are free"
    )
    assert not hub.transfers


def test_room_that_runs_out(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.repos[REPO] = Repo.of(FILES)
    monkeypatch.setattr("server.hub.download.http_get", full)
    assert failure(get, REPO).startswith(f"no room is left in {constants.HF_HUB_CACHE}: ")


# --- who may have it ---


def test_a_gated_repository(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos[REPO] = Repo.of(FILES, gated=True)
    page = f"{hub.url}/{REPO}"
    assert failure(get, REPO) == (
        f"{REPO} is gated: ask for access at {page}, and give a token in $HF_TOKEN (from {hub.url}/settings/tokens)"
    )
    assert failure(get, REPO, token="hf_other") == (
        f"{REPO} is gated, and your token has no access to it: ask for it at {page}"
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert get(REPO).path.read_bytes() == LARGE
    assert not any(transfer.authorized for transfer in hub.transfers)  # the CDN sees no token


def test_a_token_that_cannot_be_sent(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    assert "must be visible ASCII" in failure(get, REPO, token="hf_\xe9")


def test_a_private_repository_or_none(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES, private=True)
    without = "; if it is private, give a token in $HF_TOKEN"
    assert failure(get, REPO) == f"there is no repository {REPO} at {hub.url}{without}"
    assert failure(get, "org/none") == f"there is no repository org/none at {hub.url}{without}"
    none = f"there is no repository org/none at {hub.url}, or your token can't read it"
    assert failure(get, "org/none", token=TOKEN) == none
    assert failure(get, REPO, token="hf_expired") == "the Hub refuses the token (in $HF_TOKEN, or of `hf auth login`)"
    assert get(REPO, token=TOKEN).path.read_bytes() == LARGE


# --- offline ---


def test_without_a_network_the_cache_is_taken(
    hub: Hub, get: Getter, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    model = get(f"{REPO}:Q8_0")
    point_at("http://127.0.0.1:9", monkeypatch)
    assert get(f"{REPO}:Q8_0") == get(REPO) == model  # the one that there is
    assert said[-1].startswith("cannot reach the Hub at http://127.0.0.1:9: ")
    assert said[-1].endswith(f"; taking {REPO} from the cache")
    assert failure(get, f"{REPO}:Q4_K_M").startswith("cannot reach the Hub at http://127.0.0.1:9: ")


def test_offline_nothing_is_asked(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    model = get(REPO)
    hub.asked.clear()
    assert get(REPO, offline=True) == model
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert get(REPO) == model
    message = f"{REPO}:Q8_0 is not in the cache ({constants.HF_HUB_CACHE}), and the Hub isn't to be asked"
    assert failure(get, f"{REPO}:Q8_0") == message
    assert not hub.asked


def test_a_hub_that_is_down(hub: Hub, get: Getter, said: list[str]) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    model = get(f"{REPO}:Q8_0")
    hub.down = True
    assert get(REPO) == model
    assert said[-1] == f"the Hub answers 503 for {REPO}: We are back soon; taking {REPO} from the cache"
    assert failure(get, "org/other") == "the Hub answers 503 for org/other: We are back soon"


def test_what_is_no_hub(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(f"{hub.url}/a/page", monkeypatch)
    assert failure(get, REPO).startswith(f"what answers at {hub.url}/a/page is no Hub: ")
    point_at(f"{hub.url}/nothing", monkeypatch)
    assert failure(get, REPO) == f"the Hub answers 404 for {REPO}: Not Found"


@pytest.mark.parametrize(
    "path",
    ["../../m-Q8_0.gguf", "/m-Q8_0.gguf", "a\\m-Q8_0.gguf", "m\x1b[2J-Q8_0.gguf", "m\n-Q8_0.gguf", "\udcff.gguf"],
)
def test_strange_paths_are_passed_over(hub: Hub, cache: Path, get: Getter, path: str) -> None:
    hub.repos[REPO] = Repo.of({path: SMALL})
    assert failure(get, REPO) == f"{REPO} is empty"
    hub.repos[REPO] = Repo.of({path: SMALL, "m-Q4_0.gguf": SMALL})
    assert get(REPO).path.is_relative_to(cache)


@pytest.mark.parametrize("commit", ["/tmp", "../../..", "1" * 39])
def test_a_commit_that_is_none(hub: Hub, cache: Path, get: Getter, commit: str) -> None:
    hub.repos[REPO] = Repo({commit: FILES}, {"main": commit})
    assert failure(get, REPO) == f"the Hub doesn't say which commit of {REPO} it means"
    assert not list(cache.rglob("*.gguf"))


def test_an_etag_that_is_a_path(hub: Hub, cache: Path, get: Getter) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.etag = "../../../outside"
    assert "is no Hub" in failure(get, REPO)
    assert not (cache.parent / "outside").exists()


@pytest.mark.parametrize(
    "about", [b"[1]", b"[" * 100_000, b'{"id": "1", "siblings": 5}', b'{"id": "1", "siblings": ["x"]}']
)
def test_answers_that_are_something_elses(hub: Hub, get: Getter, about: bytes) -> None:
    hub.repos[REPO] = Repo.of(FILES)
    hub.about = about
    assert "is no Hub" in failure(get, REPO)


def test_a_name_too_long_for_the_disk(hub: Hub, get: Getter) -> None:
    hub.repos[REPO] = Repo.of({"m" * 300 + ".gguf": SMALL})
    assert "File name too long" in failure(get, REPO)


# --- Xet ---


@pytest.mark.parametrize("installed", [True, False])
def test_xet_is_not_needed(hub: Hub, get: Getter, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Its downloads can't be gone on with: what the Hub has as Xet comes by HTTP all the same."""
    monkeypatch.setattr(huggingface_hub.file_download, "is_xet_available", lambda: installed)
    hub.repos[REPO] = Repo.of(FILES, xet=True)
    assert get(REPO).path.read_bytes() == LARGE
