"""Install locked requirements into the virtual environment that runs this, showing how far a compile has come.

    .venv/bin/python requirements/install.py runtime [test] [lint]
    .venv/bin/python requirements/install.py --dependencies-only runtime    # not Paddock itself: for an image's layers

Called by requirements/setup.sh. llama-cpp-python comes as source: pip compiles it once and keeps the wheel in its
cache, whatever the CMAKE_ARGS. So a build with CMAKE_ARGS of the user's own (CUDA, Vulkan …) bypasses the cache, and
its arguments are kept in the environment's folder, for the next change of the lock.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINDING = "llama-cpp-python"
PYTORCH = "torch"
DEPENDENCIES_ONLY = "--dependencies-only"
VARIANT = Path(sys.prefix) / "paddock-cmake-args"
OPTIONS = [
    "-DLLAVA_BUILD=OFF",
    f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={HERE / 'llama_cpp.cmake'}",
    "-DGGML_RPC=ON",
    "-DGGML_RPC_RDMA=OFF",
]
"""Build nothing that Paddock doesn't use: no multimodal tools, no llama.cpp "common" library. RPC, which costs five
seconds, is always there; RDMA for it isn't, which would make the build depend on libraries that happen to be here."""

STEP = re.compile(r"^\s*\[\s*(\d+)(?:/(\d+)|%)\]")
"""How ninja ("[12/87] …") and CMake's makefiles ("[ 14%] …") number their steps."""


def main() -> int:
    groups = [argument for argument in sys.argv[1:] if argument != DEPENDENCIES_ONLY]
    try:
        if "runtime" in groups:
            _upgrade_pip()
            _install_binding()
        for group in groups:
            # Without a look at what they require: the locks hold all of it, and one requirement is overridden there.
            _pip("install", "--quiet", "--no-deps", "--require-hashes", "--requirement", str(HERE / f"{group}.txt"))
        if "runtime" in groups and DEPENDENCIES_ONLY not in sys.argv:
            _pip("install", "--quiet", "--no-deps", "--editable", str(HERE.parent))
        if "test" in groups and sys.platform == "linux":
            _install_pytorch()
    except subprocess.CalledProcessError as error:
        print(f"Installing failed: {shlex.join(error.cmd[3:])} (above is why).", file=sys.stderr)
        return 1
    return 0


def _upgrade_pip() -> None:
    if _installed("pip") != _locked("build", "pip")[0]:
        with _excerpt("build", "pip") as only:
            _run(["install", "--quiet", "--require-hashes", "--requirement", only])


def _install_binding() -> None:
    """llama-cpp-python, alone and first: it is what takes minutes."""
    wanted = _locked("runtime", BINDING)[0]
    recorded = VARIANT.read_text().strip() if VARIANT.exists() else ""
    variant = os.environ.get("CMAKE_ARGS", "").strip() or recorded
    if _installed(BINDING) == wanted and variant == recorded and (_has_rpc() or "-DGGML_RPC=" in variant):
        return
    if variant:
        _compile_binding(variant, "--no-cache-dir", "--force-reinstall")
        VARIANT.write_text(variant + "\n")
        return
    if _installed(BINDING) != wanted:
        _compile_binding()
    if not _has_rpc():  # it was built, and put into pip's cache, when Paddock's builds hadn't it yet
        _forget_cached(f"{BINDING.replace('-', '_')}-{wanted}*")
        _compile_binding("", "--force-reinstall")


def _compile_binding(variant: str = "", *options: str) -> None:
    environment = {
        **os.environ,
        "CMAKE_ARGS": " ".join([shlex.join(OPTIONS), variant]).strip(),
        "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1),
    }
    with _excerpt("runtime", BINDING) as only:
        _pip(
            "install", "--verbose", "--no-deps", *options, "--require-hashes", "--requirement", only,
            environment=environment,
        )  # fmt: skip


def _install_pytorch() -> None:
    """PyPI's PyTorch for Linux is the one for CUDA, and gigabytes, so the lock has it for Macs only. Tests need the
    build without, which pip finds where it is told to look: PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS."""
    wanted = _locked("test", PYTORCH)[0]
    if (_installed(PYTORCH) or "").partition("+")[0] == wanted:
        return
    try:
        _pip("install", "-qqq", f"{PYTORCH}=={wanted}+cpu")
    except subprocess.CalledProcessError:
        print(
            f"pip finds no {PYTORCH} {wanted}+cpu: the tests that compare with PyTorch will be skipped. "
            "docs/convert.md tells how to get it.",
            file=sys.stderr,
        )


def _pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    """pip, its builds constrained to locked versions. With --verbose its output is boiled down to the progress."""
    command = [*arguments, "--build-constraint", str(HERE / "build.txt")]
    if "--verbose" in arguments:
        _run_watched(command, environment)
    else:
        _run(command)


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def _forget_cached(pattern: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "cache", "remove", pattern]
    subprocess.run(command, check=False, capture_output=True)  # there may be none, or no cache at all


def _run_watched(arguments: list[str], environment: dict[str, str] | None) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    progress = Progress(sys.stderr.isatty())
    with tempfile.NamedTemporaryFile("w", prefix="paddock-setup-", suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout
        tail: list[str] = []
        for line in process.stdout:
            log.write(line)
            tail = [*tail[-29:], line]
            progress.see(line)
    progress.end()
    if process.wait():
        sys.stderr.writelines(tail)
        print(f"The whole log: {log.name}", file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    Path(log.name).unlink()


class Progress:
    """Reads pip's verbose output; says what is compiled, and how far that has come."""

    def __init__(self, tty: bool) -> None:
        self._tty = tty
        self._said = 0
        self._started = 0.0

    def see(self, line: str) -> None:
        if line.lstrip().startswith("Downloading llama_cpp_python"):
            self._say("Downloading llama-cpp-python: 77 MB.")
        elif re.match(r"\s*Building wheel.* for llama", line) and not self._started:
            self._started = time.monotonic()
            cores = os.cpu_count() or 1
            self._say(f"Compiling llama.cpp: about {max(1, round(6 / cores))} minutes on {cores} cores, once.")
        elif step := STEP.match(line):
            percent = 100 * int(step[1]) // int(step[2] or 100)
            percent -= percent % (1 if self._tty else 10)
            if percent > self._said:
                self._said = percent
                self._show(percent)

    def end(self) -> None:
        if self._started:
            self._say(f"{chr(13) if self._tty else ''}Compiled in {time.monotonic() - self._started:.0f} s.        ")

    def _show(self, percent: int) -> None:
        bar = "#" * (percent // 4)
        print(
            f"\r[{bar:25}] {percent:3} %" if self._tty else f"  {percent} %",
            end="" if self._tty else "\n",
            file=sys.stderr,
            flush=True,
        )

    def _say(self, line: str) -> None:
        print(line.rstrip() if not self._tty else line, file=sys.stderr, flush=True)


@contextmanager
def _excerpt(lock: str, name: str) -> Iterator[str]:
    """The path of a requirements file that holds one package of a lock, while it is needed."""
    with tempfile.NamedTemporaryFile("w", prefix="paddock-", suffix=".txt") as file:
        file.write(_locked(lock, name)[1])
        file.flush()
        yield file.name


def _locked(lock: str, name: str) -> tuple[str, str]:
    """A package's version in a lock, and its requirement there with its hashes."""
    text = (HERE / f"{lock}.txt").read_text()
    found = re.search(rf"^{re.escape(name)}==([^ ;\\\n]+).*(?:\n    .*)*", text, re.MULTILINE)
    if not found:
        raise LookupError(f"{lock}.txt has no {name}")
    return found[1], found[0] + "\n"


def _has_rpc() -> bool:
    """Whether the binding was built with llama.cpp's RPC backend."""
    return any("ggml-rpc" in file.name and file.parent.name == "lib" for file in metadata.files(BINDING) or ())


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
