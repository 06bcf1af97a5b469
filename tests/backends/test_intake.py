"""A request becomes sequences."""

from __future__ import annotations

import numpy as np
import pytest

from backends.base import GenerateRequest, SamplingParams
from backends.llama_cpp.engine_messages import Resume
from backends.llama_cpp.intake import Intake
from backends.llama_cpp.sampling import SamplingVocab, dry
from backends.llama_cpp.speculation import Speculation
from backends.llama_cpp.step_time import StepTime

N_VOCAB = 50
PENALISED = SamplingParams(
    repeat_penalty=1.3, repeat_last_n=-1, dry_multiplier=0.8, dry_penalty_last_n=-1, dry_sequence_breakers=(), seed=1
)


def test_a_prompt_is_read_once_for_all_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    suffix_matches = dry.suffix_matches

    def counted(tokens: list[int]) -> list[int]:
        read.append(len(tokens))
        return suffix_matches(tokens)

    monkeypatch.setattr(dry, "suffix_matches", counted)
    vocab = SamplingVocab(N_VOCAB, np.array([0], np.int32), np.zeros(0, np.int32))
    intake = Intake(1000, vocab, Speculation(StepTime(), {0}), None)
    prompt = [1, 2, 3] * 30
    request = GenerateRequest(id="r", prompt=prompt, max_tokens=9, n=8, sampling=PENALISED)
    generated = {0: [1, 2], 3: [], 7: [4]}
    sequences = intake.sequences(Resume(request, generated), None)
    assert [(seq.index, seq.array()[len(prompt) :].tolist()) for seq in sequences] == list(generated.items())
    assert [seq.sampler.seed for seq in sequences] == [1, 4, 8]
    assert read == [len(prompt)]
