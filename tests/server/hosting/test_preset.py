"""`--models-preset` files: what their keys mean, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config import Settings
from server.hosting.preset import PresetError, read_presets
from tests.server.settings import load_settings

FILE = """
version = 1

; for all
[*]
c = 8192
cache-type-k = q8_0

[org/Model-GGUF:Q8_0]
n-gpu-layers = 12
c = 4096
temp = 0.5
mlock = true
PADDOCK_CACHE_RAM = 0

# a model of its own
[mine]
model = /models/mine.gguf
alias = my, own
chat-template = chatml
samplers = top-k;temp
ignore-eos = on
load-on-startup = true
stop-timeout = 3
"""


def presets(tmp_path: Path, text: str, *flags: str) -> dict[str, Settings]:
    file = tmp_path / "models.ini"
    file.write_text(text)
    return {name: preset.settings for name, preset in read_presets(file, load_settings(flags, {})).items()}


def test_what_is_a_models_own_goes_over_what_is_for_all_over_the_command_line(tmp_path: Path) -> None:
    found = presets(tmp_path, FILE, *"-c 1024 -np 3 --top-k 7 -ctk f32".split())
    assert list(found) == ["*", "org/Model-GGUF:Q8_0", "mine"]
    everyone, known, mine = found.values()
    assert [(each.ctx_size, each.parallel, each.cache_type_k) for each in found.values()] == [
        (8192, 3, "q8_0"),
        (4096, 3, "q8_0"),
        (8192, 3, "q8_0"),
    ]
    assert (known.gpu_layers, known.load_mode, known.cache_ram) == (12, "mmap+mlock", 0)
    assert (everyone.sampling, known.sampling) == ({"top_k": 7}, {"top_k": 7, "temperature": 0.5})
    assert mine.sampling == {"top_k": 7, "samplers": ("top_k", "temperature"), "ignore_eos": True}
    assert (mine.model, mine.chat_template) == (("/models/mine.gguf",), "chatml")


def test_what_only_presets_have(tmp_path: Path) -> None:
    file = tmp_path / "models.ini"
    file.write_text(FILE)
    found = read_presets(file, Settings())
    assert [preset.load_on_startup for preset in found.values()] == [False, False, True]
    assert [preset.stop_timeout for preset in found.values()] == [10, 10, 3]
    assert [preset.model for preset in found.values()] == [None, None, "/models/mine.gguf"]
    assert found["mine"].aliases == ("my", "own")


def test_a_repository(tmp_path: Path) -> None:
    assert presets(tmp_path, "[x]\nhf-repo = org/model:Q8_0\n")["x"].model == ("hf://org/model:Q8_0",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nctx-siz = 1", "[a] ctx-siz is no setting (ctx-size?)"),
        ("[a]\nport = 1", "[a] port holds for the whole server: give it as --port"),
        ("[a]\njinja = true", "[a] jinja is no setting here: chat templates are always Jinja"),
        ("[a]\nc = many", "[a] c must be a whole number of at least 0, not 'many'"),
        ("[a]\nmlock = maybe", "[a] mlock must be true or false, not 'maybe'"),
        ("[a]\nmlock = false", "[a] mlock can only be true: leave it out"),
        ("[a]\nstop-timeout = soon", "[a] stop-timeout must be a whole number of seconds, not 'soon'"),
        ("[*]\nmodel = x.gguf", "[*] model can't be the same for all models"),
        ("c = 1\n[a]", "c stands above the first section: only `version` may"),
        ("[a]\nc = 1\nc = 2", "[a] has c twice"),
        ("[a]\n[a]", "[a] is there twice"),
        ("[a]\nwhatever", "line 2 is neither `key = value` nor a section: 'whatever'"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PresetError) as caught:
        presets(tmp_path, text)
    assert str(caught.value).endswith(message) and str(tmp_path / "models.ini") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="No such file"):
        read_presets(tmp_path / "nowhere.ini", Settings())
    (tmp_path / "models.ini").write_bytes(b"\xff")
    with pytest.raises(PresetError, match="utf-8"):
        read_presets(tmp_path / "models.ini", Settings())
