"""What Paddock is to reach: against llama-server of the same llama.cpp, and against what its kernels allow."""

from __future__ import annotations

from dataclasses import dataclass

from .bootstrap import Estimate


@dataclass(frozen=True)
class Target:
    load: str
    measure: str
    against: str
    bound: float
    at_most: bool = False
    difference: bool = False
    """The bound is one of the difference, in the measure's unit; else of the ratio."""

    def verdict(self, found: Estimate) -> str:
        """Whether the median keeps the bound; and if the interval doesn't settle it, that it doesn't."""

        def kept(value: float) -> bool:
            return value <= self.bound if self.at_most else value >= self.bound

        settled = kept(found.low) == kept(found.high)
        return ("met" if kept(found.value) else "missed") + ("" if settled else ", not certain")

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.bound:+g}" if self.difference else f"{sign} {self.bound:g} ×"


TARGETS = (
    Target("start", "ready", "llama-server", 1.5, at_most=True, difference=True),
    Target("start", "memory", "llama-server", 200, at_most=True, difference=True),
    Target("start", "memory with schemas", "llama-server", 250, at_most=True, difference=True),
    Target("single", "decode", "llama-server", 0.98),
    Target("single", "decode", "llama-bench", 0.97),
    Target("unique-8", "total", "llama-server", 1.05),
    Target("unique-8", "total", "llama-batched-bench", 0.95),
    Target("unique-16", "total", "llama-server", 1.05),
    Target("unique-16", "total", "llama-batched-bench", 0.95),
    Target("shared-512", "cold", "llama-server", 0.45, at_most=True),
    Target("shared-512", "warm", "llama-server", 0.9, at_most=True),
    Target("long-prompt", "largest gap", "llama-server", 0.06, at_most=True),
    Target("long-prompt", "long prompt's first token", "llama-server", 1.25, at_most=True),
    Target("prediction", "answer", "llama-server", 1.5),
    Target("json-schema", "forms", "llama-server", 3.0),
    Target("sampling", "sample", "llama_sampler_sample", 0.2, at_most=True),
)


def target_of(load: str, measure: str, against: str) -> Target | None:
    wanted = (load, measure, against)
    return next((target for target in TARGETS if (target.load, target.measure, target.against) == wanted), None)
