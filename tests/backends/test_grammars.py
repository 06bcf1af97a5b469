"""Grammars tried in their process, and what is kept of them: a refusal only as long as it holds."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import llama_cpp.llama_cpp as C
import pytest

from backends.llama_cpp.constraint import Grammars, grammars
from backends.llama_cpp.constraint.trial import NotCompiled, Trials
from tests.backends.sampling.chains import load_vocab
from tests.models.vocab_only import write_bpe

N_VOCAB = 300


def word(text: str) -> str:
    return f'%llguidance {{}}\nstart: "{text}"\n'


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grammars]:
    model = load_vocab(write_bpe(tmp_path_factory.mktemp("vocab") / "vocab.gguf", "gpt-2"))
    vocab = C.llama_model_get_vocab(model)
    compiler = Grammars(vocab, [C.llama_vocab_eos(vocab)], seconds=10.0)
    yield compiler
    compiler._threads.shutdown()
    C.llama_model_free(model)


@pytest.fixture
def overtaxed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grammars whose next trial takes too much."""
    names: list[str] = []

    def run(_trials: Trials, grammar: str, _n_vocab: int) -> None:
        if grammar in names:
            names.remove(grammar)
            raise NotCompiled("it takes too much")

    monkeypatch.setattr(Trials, "run", run)
    return names


def test_what_took_too_much_is_tried_again_but_not_at_once(
    compiler: Grammars, overtaxed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, text in ((60.0, "now"), (0.0, "later")):
        monkeypatch.setattr(grammars, "REFUSED_FOR", seconds)
        overtaxed.append(word(text))
        refused = compiler.compile(word(text))
        with pytest.raises(ValueError, match="can't be used: it takes too much"):
            refused.result()
        assert (compiler.compile(word(text)) is refused) is (seconds > 0)
    assert not compiler.compile(word("later")).result().is_error()


def test_what_is_wrong_stays_so(compiler: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammars, "REFUSED_FOR", 0.0)
    wrong = compiler.compile("%llguidance {}\nstart: nowhere")
    with pytest.raises(ValueError, match="can't be used"):
        wrong.result()
    assert compiler.compile("%llguidance {}\nstart: nowhere") is wrong


@pytest.fixture
def trials() -> Iterator[Trials]:
    """With a process that has tried one already."""
    trials = Trials(0.5)
    trials.run(word("first"), N_VOCAB)
    yield trials
    trials._end()


def pid(trials: Trials) -> int:
    assert trials._process is not None
    return trials._process.pid


def test_a_process_that_has_died_meanwhile_is_not_the_next_grammars_fault(trials: Trials) -> None:
    before = pid(trials)
    os.kill(before, signal.SIGKILL)
    assert trials._process is not None
    trials._process.wait()
    trials.run(word("second"), N_VOCAB)
    assert pid(trials) != before


def test_waiting_for_the_processor_takes_nothing_of_a_trials_time(trials: Trials) -> None:
    os.kill(pid(trials), signal.SIGSTOP)
    going_on = threading.Timer(1.0, os.kill, (pid(trials), signal.SIGCONT))
    going_on.start()
    trials.run(word("second"), N_VOCAB)
    going_on.join()


def test_without_a_process_no_grammar_is_said_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_arguments: Any, **_options: Any) -> subprocess.Popen[bytes]:
        raise BlockingIOError(errno.EAGAIN, "no room for another process")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(subprocess, "Popen", no_room)
        trials = Trials(0.5)
        with pytest.raises(NotCompiled, match="no room for another process"):
            trials.run(word("first"), N_VOCAB)
    trials.run(word("first"), N_VOCAB)
    trials._end()
