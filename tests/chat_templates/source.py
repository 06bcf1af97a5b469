"""Where the templates come from: the locked llama-cpp-python's source distribution."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
FOLDER = PurePosixPath("vendor/llama.cpp/models/templates")


def templates(unpacked: Path | None) -> dict[str, str]:
    """By name. `unpacked`: a source distribution, as a file or a folder, or a folder of templates; None: download it.

    Raises OSError, tarfile.TarError or subprocess.CalledProcessError.
    """
    if unpacked is None:
        with tempfile.TemporaryDirectory(prefix="paddock-templates-") as folder:
            return _in_archive(_download(Path(folder)))
    if not unpacked.is_dir():
        return _in_archive(unpacked)
    folders = [unpacked / FOLDER, *unpacked.glob(f"*/{FOLDER}"), unpacked]
    found = next(folder for folder in folders if folder.is_dir())
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(found.glob("*.jinja"), key=lambda p: p.stem)}


def locked() -> str:
    """The requirement, with its version and its hashes."""
    found = re.search(r"^llama-cpp-python==.*(?:\n    .*)*", (REQUIREMENTS / "runtime.txt").read_text(), re.MULTILINE)
    assert found
    return found[0] + "\n"


def version() -> str:
    return locked().split("==")[1].split()[0]


def _download(folder: Path) -> Path:
    requirement = folder / "requirement.txt"
    requirement.write_text(locked())
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "llama-cpp-python", "--require-hashes", "--requirement", str(requirement)]
    command += ["--build-constraint", str(REQUIREMENTS / "build.txt"), "--dest", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("llama_cpp_python-*.tar.gz"))


def _in_archive(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.suffix == ".jinja" and name.parent.is_relative_to(name.parts[0] / FOLDER):
                file = archive.extractfile(member)
                assert file
                found[name.stem] = file.read().decode("utf-8")
    return dict(sorted(found.items()))
