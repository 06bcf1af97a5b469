"""Which models there are: of the command line, of a folder, of presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.hosting.catalog import CatalogError, catalog, is_on_demand
from tests.server.settings import load_settings


def models(*flags: object) -> dict[tuple[str, ...], Path]:
    settings = load_settings([str(flag) for flag in flags], {})
    return {spec.names: spec.path for spec in catalog(settings)}


def refusal(*flags: object) -> str:
    with pytest.raises(CatalogError) as caught:
        models(*flags)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "a.gguf",
        "B.GGUF",
        "big-00001-of-00002.gguf",
        "big-00002-of-00002.gguf",
        "mmproj-x.gguf",
        "a-mmproj-f16.gguf",
        "eagle3-a.gguf",
        "imatrix.gguf",
        "notes.txt",
        "deep/model.gguf",
        "deep/imatrix.gguf",
        "deep/mmproj-F16.gguf",
        "parts/m-00001-of-00003.gguf",
        "parts/m-00002-of-00003.gguf",
        "empty/notes.txt",
        ".hidden/model.gguf",
        ".part.gguf",
        "line\nend.gguf",
        "no\udce4text.gguf",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_single_one_is_called_by_all_aliases(folder: Path) -> None:
    assert models("-m", folder / "a.gguf") == {("a",): folder / "a.gguf"}
    assert models("-m", folder / "a.gguf", "-a", "x,y,x") == {("x", "y"): folder / "a.gguf"}
    assert [*models()] == [("paddock-demo",)]
    assert not is_on_demand(load_settings(["-m", "a.gguf"], {}))


def test_several_are_called_by_one_alias_each(folder: Path) -> None:
    both = ("-m", folder / "a.gguf", "-m", folder / "B.GGUF")
    assert [*models(*both)] == [("a",), ("B",)]
    assert [*models(*both, "-a", "x,y")] == [("x",), ("y",)]
    assert refusal(*both, "-a", "x") == "--alias has 1 names for 2 models: give one for each, in the same order"
    assert is_on_demand(load_settings([str(flag) for flag in both], {}))


def test_two_of_the_same_name(folder: Path) -> None:
    message = refusal("-m", folder / "a.gguf", "--models-dir", folder)
    assert message == f"two models are called a: {folder}/a.gguf and {folder}/a.gguf (--alias gives other names)"


def test_a_folder(folder: Path) -> None:
    assert models("--models-dir", folder) == {
        ("B",): folder / "B.GGUF",
        ("a",): folder / "a.gguf",
        ("big",): folder / "big-00001-of-00002.gguf",
        ("deep",): folder / "deep" / "model.gguf",
        ("parts",): folder / "parts" / "m-00001-of-00003.gguf",
    }
    assert [*models("--models-dir", folder / "parts", "-m", folder / "a.gguf")] == [("a",), ("m",)]


def test_folders_without_models(folder: Path) -> None:
    assert refusal("--models-dir", folder / "empty") == f"there is no model in {folder}/empty"
    assert refusal("--models-dir", folder / "nowhere").endswith("nowhere of --models-dir: No such file or directory")
    assert "--alias names the models of --model" in refusal("--models-dir", folder, "-a", "x")


def test_presets(folder: Path) -> None:
    file = folder / "models.ini"
    file.write_text(f"[*]\nc = 512\n[a]\nc = 256\nalias = small\n[new]\nmodel = {folder}/B.GGUF\n")
    settings = load_settings(["--models-preset", str(file), "--models-dir", str(folder), "-c", "99"], {})
    assert {spec.names: spec.settings.ctx_size for spec in catalog(settings)} == {
        ("B",): 512,
        ("a", "small"): 256,
        ("big",): 512,
        ("deep",): 512,
        ("parts",): 512,
        ("new",): 512,
    }
    assert models("--models-preset", file, "-m", folder / "a.gguf") == {
        ("a", "small"): folder / "a.gguf",
        ("new",): folder / "B.GGUF",
    }


def test_presets_of_nothing(folder: Path) -> None:
    file = folder / "models.ini"
    file.write_text("[nobody]\nc = 1\n")
    assert refusal("--models-preset", file) == f"{file}: [nobody] is no model that is here: it needs `model`"
    file.write_text(f"[a]\nmodel = {folder}/B.GGUF\n")
    assert refusal("--models-preset", file, "--models-dir", folder).endswith("leave out its `model`")


def test_a_folder_of_adapters_that_is_none(folder: Path) -> None:
    assert (
        refusal("-m", folder / "a.gguf", "--lora-dir", folder / "none") == f"--lora-dir {folder / 'none'} is no folder"
    )
