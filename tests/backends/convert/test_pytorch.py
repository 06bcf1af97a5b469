"""Says where PyTorch is missing, which the other tests here compare with."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


@pytest.mark.skipif(find_spec("torch") is None, reason="no PyTorch: nothing here is tested (see docs/convert.md)")
def test_pytorch_is_here() -> None:
    from transformers.utils import is_torch_available

    assert is_torch_available()
