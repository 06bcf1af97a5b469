"""Fill-in-the-middle prompts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import APIError
from server.fim import ExtraFile, extra_tokens, fim_prompt, fit, markers
from tests.server.scripted import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, INFO, ByteTokenizer

REPO, SEPARATOR = 250, 251


def test_prompt() -> None:
    marks = markers(INFO, "suffix")
    assert fim_prompt(INFO, marks, [1, 2], [3], [9]) == [BOS, 9, FIM_PREFIX, 1, 2, FIM_SUFFIX, 3, FIM_MIDDLE]
    without_bos = msgspec.structs.replace(INFO, add_bos=False)
    assert fim_prompt(without_bos, marks, [], []) == [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE]


def test_a_vocabulary_without_the_tokens() -> None:
    with pytest.raises(APIError, match="no token for the suffix, middle") as caught:
        markers(msgspec.structs.replace(INFO, fim_suffix=None, fim_middle=None), "input_prefix")
    assert (caught.value.status, caught.value.param) == (400, "input_prefix")


async def test_extra_files() -> None:
    tokenizer = ByteTokenizer()
    files = [ExtraFile("one", "a.py"), ExtraFile("two")]
    plain = bytes(await extra_tokens(tokenizer, files)).decode()
    assert plain == "\n\n--- snippet ---\n\none\n\n--- snippet ---\n\ntwo"
    assert await extra_tokens(tokenizer, []) == []

    tokenizer.info = msgspec.structs.replace(INFO, fim_repo=REPO, fim_separator=SEPARATOR)
    assert await extra_tokens(tokenizer, files) == [
        *(REPO, *b"myproject\n"),
        *(SEPARATOR, *b"a.py\none"),
        *(SEPARATOR, *b"tmp\ntwo"),
        *(SEPARATOR, *b"filename\n"),
    ]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(-5, 100))
def test_fit(n_prefix: int, n_suffix: int, n_extra: int, room: int) -> None:
    prefix, suffix, extra = range(n_prefix), range(n_suffix), range(n_extra)
    before, after, context = fit(prefix, suffix, extra, room)
    used = len(before) + len(after) + len(context)
    assert used == min(max(room, 0), n_prefix + n_suffix + n_extra), "no room is left unused"
    assert list(before) == list(prefix)[n_prefix - len(before) :], "the prefix's end"
    assert list(after) == list(suffix)[: len(after)], "the suffix's beginning"
    assert list(context) == list(extra)[n_extra - len(context) :]
    if len(before) < n_prefix or len(after) < n_suffix:
        assert not context, "the text itself comes first"
    if len(before) < n_prefix:
        assert len(before) >= room * 3 // 4
    if len(after) < n_suffix:
        assert len(after) >= max(room, 0) // 4
