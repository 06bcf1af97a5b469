"""Which file a quantization's name means."""

from __future__ import annotations

import pytest

from server.hub.choice import choose, models
from server.hub.name import HubError, HubName

REPO = "org/model"


def chosen(files: list[str], quant: str | None = None, file: str | None = None) -> tuple[str, ...]:
    return choose(HubName(REPO, quant, file=file), files).files


@pytest.mark.parametrize(
    ("files", "quant", "expected"),
    [
        # the default: llama-server's
        (["m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf"], None, "m-Q4_K_M.gguf"),
        (["m-BF16.gguf", "m-Q2_K.gguf", "m-Q8_0.gguf"], None, "m-Q8_0.gguf"),
        (["m-MXFP4.gguf"], None, "m-MXFP4.gguf"),
        (["m-BF16.gguf", "m-Q6_K.gguf"], None, "m-BF16.gguf"),
        (["README.md", "model.gguf"], None, "model.gguf"),
        # a quantization, in any case and any spelling of the file
        (["m-q4_0.gguf", "m-q4_k_m.gguf"], "Q4_K_M", "m-q4_k_m.gguf"),
        (["m.Q4_K_M.gguf", "m.Q4_K_S.gguf"], "q4_k_s", "m.Q4_K_S.gguf"),
        (["m_Q4_K_M.gguf", "m_Q5_K_M.gguf"], "Q5_K_M", "m_Q5_K_M.gguf"),
        (["Q4_K_M/m.gguf", "Q8_0/m.gguf"], "Q8_0", "Q8_0/m.gguf"),
        # one that is the end or the beginning of another's name
        (["m-IQ4_XS.gguf", "m-Q4_K_M.gguf", "m-Q4_K.gguf"], "Q4_K", "m-Q4_K.gguf"),
        (["m-IQ2_XXS.gguf", "m-IQ2_XS.gguf"], "IQ2_XS", "m-IQ2_XS.gguf"),
        (["m-BF16.gguf", "m-F16.gguf"], "F16", "m-F16.gguf"),
        (["m-UD-Q4_K_XL.gguf", "m-Q4_K_M.gguf"], "Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "Q4_K_M", "m-Q4_K_M.gguf"),
        (["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "UD-Q4_K_M", "m-UD-Q4_K_M.gguf"),
        # no quantization, but a part of the name
        (["gemma-4b-it.gguf", "gemma-1b-it.gguf"], "1b-it", "gemma-1b-it.gguf"),
        # what isn't a model is never chosen
        (["mmproj-Q4_K_M.gguf", "m-mmproj-f16.gguf", "imatrix.gguf", "mtp-m-Q8_0.gguf", "z.gguf"], None, "z.gguf"),
        (["MTP/mtp-m-Q4_K_M.gguf", "m-MTP-Q4_K_M.gguf"], None, "m-MTP-Q4_K_M.gguf"),
    ],
)  # fmt: skip
def test_one_file(files: list[str], quant: str | None, expected: str) -> None:
    assert chosen(files, quant) == (expected,)


def test_all_parts_of_a_split_model() -> None:
    parts = [f"Q4_K_M/m-Q4_K_M-0000{part}-of-00003.gguf" for part in (3, 1, 2)]
    files = [*parts, "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"]
    assert chosen(files) == tuple(sorted(parts))
    assert chosen(files, "Q8_0") == tuple(files[3:])
    assert chosen(files, file=parts[1]) == tuple(sorted(parts))


def test_a_split_model_that_lacks_parts() -> None:
    with pytest.raises(HubError, match=r"org/model has 1 of 2 parts of m-Q4_K_M-00002-of-00002.gguf only"):
        chosen(["m-Q4_K_M-00002-of-00002.gguf"])


def test_an_exact_file_may_be_anything() -> None:
    assert chosen(["m-Q4_K_M.gguf", "mmproj-F16.gguf"], "Q4_K_M", "mmproj-F16.gguf") == ("mmproj-F16.gguf",)


@pytest.mark.parametrize(
    ("files", "quant", "file", "message"),
    [
        (["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "Q3_K_M", None, "org/model has no Q3_K_M; it has Q4_K_M, Q8_0"),
        (["demo.gguf"], "Q4_0", None, "org/model has no Q4_0; it has demo.gguf"),
        (["a.gguf", "README.md"], None, "b.gguf", "org/model has no file b.gguf; its GGUFs are a.gguf"),
        (["README.md"], None, "b.gguf", "org/model has no file b.gguf; its GGUFs are none"),
        (["mmproj-F16.gguf", "README.md"], None, None, "org/model has no GGUF"),
        ([], None, None, "org/model is empty"),
    ],
)
def test_what_is_not_there(files: list[str], quant: str | None, file: str | None, message: str) -> None:
    with pytest.raises(HubError) as caught:
        chosen(files, quant, file)
    assert str(caught.value) == message


def test_a_checkpoint_is_to_be_converted() -> None:
    with pytest.raises(HubError, match=r"no GGUF, but a checkpoint \(model.safetensors\).*paddock convert"):
        chosen(["config.json", "model.safetensors"])


@pytest.mark.parametrize(
    ("file", "quant"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Meta-Llama-3.1-8B-Instruct-IQ3_XXS.gguf", "IQ3_XXS"),
        ("m-UD-IQ1_S-00001-of-00001.gguf", "UD-IQ1_S"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("m-TQ1_0.gguf", "TQ1_0"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("bge-f16.gguf", "F16"),
        ("paddock-demo.gguf", None),
        ("faq5.gguf", None),
    ],
)
def test_a_file_tells_its_quantization(file: str, quant: str | None) -> None:
    (model,) = models([file])
    assert model.quant == quant
