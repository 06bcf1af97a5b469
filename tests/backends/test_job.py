"""Work in a process of its own: how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends.llama_cpp.job import JobFailed, run_job
from tests.backends.strange_job import Order, Result

MODULE = "tests.backends.strange_job"
ROOT = Path(__file__).parents[2]
ENDS = {
    "assert": "llama.cpp gave up: GGML_ASSERT(imatrix != NULL) failed",
    "die": "llama.cpp gave up: signal 9, without a reason",
    "exit": "llama.cpp gave up: exit status 7: cannot allocate memory",
    "fail": "it can't be done",
    "memory": "out of memory",
}


def test_a_result_comes_after_reports() -> None:
    reports: list[tuple[int, int]] = []
    assert run_job(MODULE, Order("well"), Result, lambda *report: reports.append(report)) == Result("done")
    assert reports == [(1, 2)]


@pytest.mark.parametrize("way", ENDS)
def test_every_other_end_is_one_line(way: str) -> None:
    with pytest.raises(JobFailed) as raised:
        run_job(MODULE, Order(way), Result, lambda _done, _total: None)
    assert str(raised.value) == ENDS[way]


def test_whatever_is_raised_the_process_is_gone() -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_job(MODULE, Order("hang"), Result, interrupt)
    assert time.monotonic() - began < 30


def test_the_process_does_not_outlive_its_parent() -> None:
    program = (
        "from tests.backends.test_job import *\n"
        "run_job(MODULE, Order('hang'), Result, lambda *_: print('begun', flush=True))"
    )
    read, write = os.pipe()  # the job's process has its end too, as stdout
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=write)
    os.close(write)
    with open(read, "rb", buffering=0) as output:
        assert output.readline() == b"begun\n"
        parent.kill()
        parent.wait()
        began = time.monotonic()
        assert output.read() == b""  # the end: nobody has it open any more
    assert time.monotonic() - began < 30
