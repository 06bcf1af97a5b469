"""`make setup`: what it says of a machine that lacks something, and how it boils a compile's output down."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements" / "install.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_up(venv: Path, **environment: str) -> str:
    """stderr of a setup that must fail, having made nothing."""
    # Under `make test`, make's own variables would reach the make in the test.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "setup", f"VENV={venv}"]
    done = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not venv.exists()
    return done.stderr


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    said = set_up(tmp_path / "venv", PYTHON=sys.executable, CXX="no-such-c++")
    assert "there is no no-such-c++: install them (Debian, Ubuntu: sudo apt install build-essential" in said


def test_a_python_that_is_none_or_too_old_is_named(tmp_path: Path) -> None:
    assert "Python 3.11 or later is needed, and no-such-python isn't" in set_up(
        tmp_path / "venv", PYTHON="no-such-python"
    )
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert f"and {old} isn't: install it" in set_up(tmp_path / "venv", PYTHON=str(old))


def test_a_missing_venv_module_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; *--version*) echo Python 3.12.1;; *) exit 0;; esac\n'
    )
    python.chmod(0o755)
    assert "Python 3.12.1 lacks its venv module: install it" in set_up(tmp_path / "venv", PYTHON=str(python))


def test_progress_of_ninja_and_of_make(install: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for style in (
        [f"  [{i}/80] Building C object x.c.o\n" for i in range(1, 81)],
        [f"  [{i:3}%] Building CXX object\n" for i in range(1, 101)],
    ):
        progress = install.Progress(tty=False)
        for line in ["  Building wheel for llama-cpp-python (pyproject.toml): started\n", *style, "noise\n"]:
            progress.see(line)
        progress.end()
        first, *steps, last = capsys.readouterr().err.splitlines()
        assert first.startswith("Compiling llama.cpp: about ")
        assert [line.strip() for line in steps] == [f"{percent} %" for percent in range(10, 101, 10)]
        assert last.startswith("Compiled in ")


def test_one_package_of_a_lock(install: ModuleType) -> None:
    version, requirement = install._locked("runtime", "llama-cpp-python")
    assert version == "0.3.36"
    first, *hashes = requirement.splitlines()
    assert first == "llama-cpp-python==0.3.36 \\"
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


@pytest.fixture
def compiles(install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """What `_install_binding` has compiled in an environment that has the locked version: variants, pip's options."""
    done: list[tuple[str, ...]] = []
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setattr(install, "VARIANT", tmp_path / "variant")
    monkeypatch.setattr(install, "_installed", lambda name: install._locked("runtime", name)[0])
    monkeypatch.setattr(install, "_has_rpc", lambda: True)
    monkeypatch.setattr(install, "_compile_binding", lambda *given: done.append(given))
    monkeypatch.setattr(install, "_forget_cached", lambda pattern: done.append(("forget", pattern)))
    return done


def test_what_is_installed_as_wanted_stays(install: ModuleType, compiles: list[tuple[str, ...]]) -> None:
    install._install_binding()
    assert compiles == []


def test_a_build_without_rpc_is_made_anew_and_not_from_the_cache(
    install: ModuleType, compiles: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_has_rpc", lambda: False)
    install._install_binding()
    assert compiles == [("forget", "llama_cpp_python-0.3.36*"), ("", "--force-reinstall")]


def test_a_variant_is_compiled_once_and_kept(
    install: ModuleType, compiles: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_BLAS=ON")
    install._install_binding()
    install._install_binding()
    monkeypatch.delenv("CMAKE_ARGS")
    install._install_binding()
    assert compiles == [("-DGGML_BLAS=ON", "--no-cache-dir", "--force-reinstall")]
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_RPC=OFF")
    monkeypatch.setattr(install, "_has_rpc", lambda: False)
    install._install_binding()
    install._install_binding()
    assert compiles[1:] == [("-DGGML_RPC=OFF", "--no-cache-dir", "--force-reinstall")]


def test_this_build_has_rpc(install: ModuleType) -> None:
    variant = install.VARIANT.read_text() if install.VARIANT.exists() else ""
    assert install._has_rpc() or "-DGGML_RPC=OFF" in variant


def test_pytorch_is_installed_without_cuda_or_missed_in_a_sentence(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "_locked", lambda lock, name: ("2.13.0", ""))
    monkeypatch.setattr(install, "_pip", lambda *given: done.append(given))
    for there in ("2.13.0", "2.13.0+cpu"):
        monkeypatch.setattr(install, "_installed", lambda name, there=there: there)
        install._install_pytorch()
    assert done == []
    for absent in (None, "2.12.1+cpu"):
        monkeypatch.setattr(install, "_installed", lambda name, absent=absent: absent)
        install._install_pytorch()
    assert done == [("install", "-qqq", "torch==2.13.0+cpu")] * 2

    def fail(*given: str) -> None:
        raise subprocess.CalledProcessError(1, given)

    monkeypatch.setattr(install, "_pip", fail)
    install._install_pytorch()
    assert "the tests that compare with PyTorch will be skipped" in capsys.readouterr().err
