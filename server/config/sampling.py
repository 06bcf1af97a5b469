"""The sampling settings: what a flag adds to each field of `SamplingParams`, which has its type and default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.base import RANDOM_SEED, SAMPLER_NAMES, SAMPLER_ORDER, SAMPLERS


@dataclass(frozen=True)
class SamplingFlag:
    """Bounds are inclusive but `gt`. The rest is as in `Setting`."""

    name: str
    spelling: str
    help: str
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    metavar: str = "N"
    parse: Callable[[str], Any] | None = None
    expects: str = ""
    separator: str = ""
    repeatable: bool = False
    default_text: str = ""
    switch: bool = False
    """A flag without a value: true."""

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.spelling.split())

    @property
    def bounds(self) -> dict[str, Any]:
        """As msgspec.Meta takes them."""
        return {name: bound for name in ("ge", "le", "gt") if (bound := getattr(self, name)) is not None}


ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\"": '"', r"\'": "'", r"\\": "\\"}


def _chain(text: str) -> tuple[str, ...]:
    names = [part.strip().lower() for part in text.split(";") if part.strip()]
    if unknown := set(names) - set(SAMPLER_NAMES):
        raise ValueError(unknown)
    return tuple(SAMPLER_NAMES[name] for name in names)


def _breakers(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    for escape, character in ESCAPES.items():
        text = text.replace(escape, character)
    return (text,)


def _seed(text: str) -> int | None:
    seed = int(text)
    if not -1 <= seed <= RANDOM_SEED:
        raise ValueError(text)
    return None if seed in (-1, RANDOM_SEED) else seed


F = SamplingFlag

SAMPLING_FLAGS: tuple[SamplingFlag, ...] = (
    F("seed", "-s --seed", "seed of the draws; -1: a new one for each request", parse=_seed,
      expects="a whole number from -1 to 4294967295", default_text="-1"),
    F("samplers", "--samplers", "the chain: names separated by semicolons", metavar="NAMES", separator=";",
      parse=_chain,
      expects=f"names separated by semicolons, of {', '.join(SAMPLERS)}", default_text=";".join(SAMPLER_ORDER)),
    F("temperature", "--temp --temperature", "temperature; 0: the most likely token, always", ge=0),
    F("dynatemp_range", "--dynatemp-range", "dynamic temperature: range around it; 0: off", ge=0),
    F("dynatemp_exponent", "--dynatemp-exp", "dynamic temperature: exponent", ge=0),
    F("top_k", "--top-k", "keep the k most likely; 0: off", ge=0),
    F("top_p", "--top-p", "keep the most likely up to this sum of probabilities; 1: off", ge=0, le=1),
    F("min_p", "--min-p", "keep those with this share of the most likely's probability; 0: off", ge=0, le=1),
    F("tfs_z", "--tfs-z --tfs", "tail-free sampling: z; 1: off", ge=0),
    F("typical_p", "--typical --typical-p", "locally typical sampling: p; 1: off", ge=0, le=1),
    F("top_n_sigma", "--top-n-sigma --top-nsigma", "keep logits within n deviations of the highest; below 0: off"),
    F("xtc_probability", "--xtc-probability", "XTC: how often it removes the top choices; 0: off", ge=0, le=1),
    F("xtc_threshold", "--xtc-threshold", "XTC: what is a top choice; above 0.5: off", ge=0, le=1),
    F("mirostat", "--mirostat", "mirostat 1 or 2 instead of the chain; 0: off", ge=0, le=2),
    F("mirostat_eta", "--mirostat-lr", "mirostat: learning rate, eta", ge=0),
    F("mirostat_tau", "--mirostat-ent", "mirostat: target entropy, tau", ge=0),
    F("adaptive_target", "--adaptive-target", "adaptive-p, if listed in the chain: probability to stay near", le=1),
    F("adaptive_decay", "--adaptive-decay", "adaptive-p: how slowly it adapts", ge=0, le=0.99),
    F("repeat_penalty", "--repeat-penalty", "weakens repeated tokens; 1: off", gt=0),
    F("repeat_last_n", "--repeat-last-n", "tokens looked back for repeats; 0: off; -1: all", ge=-1),
    F("presence_penalty", "--presence-penalty", "subtracted from the logit of a token that was there; 0: off"),
    F("frequency_penalty", "--frequency-penalty", "the same, for each time it was there; 0: off"),
    F("dry_multiplier", "--dry-multiplier", "DRY: strength; 0: off", ge=0),
    F("dry_base", "--dry-base", "DRY: growth per repeated token", ge=0),
    F("dry_allowed_length", "--dry-allowed-length", "DRY: repeats up to this length are free", ge=0),
    F("dry_penalty_last_n", "--dry-penalty-last-n", "DRY: tokens looked back; 0: off; -1: all", ge=-1),
    F("dry_sequence_breakers", "--dry-sequence-breaker", "DRY: text that ends a repeat; several times for several",
      metavar="TEXT|none", parse=_breakers, repeatable=True, default_text=r'\n : " *'),
    F("ignore_eos", "--ignore-eos", "never stop by the model's own choice", switch=True, default_text="off"),
)  # fmt: skip
