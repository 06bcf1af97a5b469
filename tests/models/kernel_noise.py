"""How far logits move when the same tokens are computed in another way.

llama.cpp's kernels add in another order for another batch shape and other KV cells, and the F16 KV cache rounds
what they find. Two correct runs part wherever the two best logits lie closer than that. Measure it before
comparing: `python -m tests.models.kernel_noise`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import llama_cpp.llama_cpp as lib
import numpy as np

from tests.models.families import FAMILIES, write_model
from tests.models.lowlevel import Entry, LowLevel, opened

LENGTHS = (3, 40, 250)
CHUNKS = (1, 7, 64)

SETTINGS: dict[str, dict[str, int | bool | None]] = {
    "flash auto, F16 KV": {},
    "flash off, F16 KV": {"flash_attn": False},
    "flash off, F32 KV": {"flash_attn": False, "cache_type": lib.GGML_TYPE_F32},
}


def _prompt(low: LowLevel, length: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(length).integers(33, 120, length)]


def _in_chunks(low: LowLevel, tokens: list[int], size: int) -> np.ndarray:
    """Logits at every position, computed `size` tokens at a time in an empty cache."""
    low.clear()
    rows = [
        low.decode([Entry(token, start + i, 0) for i, token in enumerate(tokens[start : start + size])])
        for start in range(0, len(tokens), size)
    ]
    return np.concatenate(rows)


def _in_company(low: LowLevel, tokens: list[int], size: int) -> np.ndarray:
    """The same while three other sequences decode in the same batches; their cells lie before and between ours."""
    low.clear()
    low.decode([Entry(65 + i % 26, i, other, False) for other in (1, 2, 3) for i in range(30 * other)])
    rows = []
    for step, start in enumerate(range(0, len(tokens), size)):
        ours = [Entry(token, start + i, 0) for i, token in enumerate(tokens[start : start + size])]
        others = [Entry(97 + step % 26, 30 * other + step, other, False) for other in (1, 2, 3)]
        rows.append(low.decode([others[0], *ours, *others[1:]]))
    return np.concatenate(rows)


WAYS: dict[str, Callable[[LowLevel, list[int]], np.ndarray]] = {
    **{f"chunks of {size}": partial(_in_chunks, size=size) for size in CHUNKS},
    **{f"in company, {size}": partial(_in_company, size=size) for size in CHUNKS},
}


def differences(path: Path, **options: int | bool | None) -> dict[str, np.ndarray]:
    """For each way: the largest difference of any logit from the one-batch run, per position of all prompts."""
    found: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    with opened(path, **options) as low:
        for length in LENGTHS:
            tokens = _prompt(low, length)
            whole = _in_chunks(low, tokens, length)
            for way, run in WAYS.items():
                found[way].append(np.abs(run(low, tokens) - whole).max(axis=1))
    return {way: np.concatenate(parts) for way, parts in found.items()}


@cache
def kernel_noise(path: Path, *, flash_attn: bool | None = None, cache_type: int = lib.GGML_TYPE_F16) -> float:
    """The largest difference seen of any logit, over all ways, prompts and positions. `flash_attn=None`: llama.cpp's
    choice, as an engine leaves it by default."""
    found = differences(path, flash_attn=flash_attn, cache_type=cache_type)
    return max(float(difference.max()) for difference in found.values())


def main() -> None:
    families = sys.argv[1:] or list(FAMILIES)
    with tempfile.TemporaryDirectory() as folder:
        for family in families:
            path = write_model(Path(folder) / f"{family}.gguf", family)
            for setting, options in SETTINGS.items():
                for way, difference in differences(path, **options).items():
                    median, high, top = np.quantile(difference, (0.5, 0.99, 1.0))
                    print(f"{family:6} {setting:18} {way:14} median {median:.1e}  99 % {high:.1e}  max {top:.1e}")


if __name__ == "__main__":
    main()
