"""For Schemathesis, which finds this module by SCHEMATHESIS_HOOKS: requests that the demo model can answer soon."""

from __future__ import annotations

from typing import Any

import schemathesis

from .serving import DEMO

MOST = {"max_tokens": 4, "max_completion_tokens": 4, "n_predict": 4, "n": 2, "n_cmpl": 2, "best_of": 2}
"""A generated number is often a large one; any number up to its bound is as good a test."""
BOUND = 128


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, _request: dict[str, Any]) -> None:
    """Name the model that there is, and ask for little. What is wrong in a body stays so."""
    body = case.body
    if not isinstance(body, dict):
        return
    if isinstance(body.get("model"), str):
        body["model"] = DEMO
    for name, most in MOST.items():
        value = body.get(name)
        if type(value) is int and most < value and (value <= BOUND or most > 2):
            body[name] = most
    if case.operation.path.endswith(("completions", "/completion", "/infill")) and body.get("n_predict", -1) == -1:
        body["n_predict"] = 4
