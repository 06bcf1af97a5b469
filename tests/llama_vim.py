"""What editors ask `/infill` for: llama.vim, and llama.vscode much the same."""

from __future__ import annotations

from typing import Any

LLAMA_VIM: dict[str, Any] = {
    "id_slot": 0,
    "input_prefix": "a\nb\n",
    "input_suffix": "\nd\n",
    "input_extra": [{"text": "ex", "time": [1700000000, 5], "filename": "f"}],
    "prompt": "    c",
    "n_predict": 128,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.9,
    "samplers": ["top_k", "top_p", "infill"],
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "stream": False,
    "cache_prompt": True,
    "response_fields": ["content", "timings/prompt_n", "timings/predicted_n", "tokens_cached", "truncated"],
}
