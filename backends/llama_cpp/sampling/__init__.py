"""Choosing the next token: SamplingParams → sparse penalties, a prefilter, llama.cpp's own sampler chain.

Knows logits and token ids; nothing of text, sequences or batches. `docs/samplers.md` explains each sampler.
"""

from .logprobs import log_probabilities
from .sampler import Sampler
from .vocab import SamplingVocab

__all__ = ["Sampler", "SamplingVocab", "log_probabilities"]
