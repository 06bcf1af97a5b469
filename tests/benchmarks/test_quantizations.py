"""What quantizing costs: a run on a small model, the table, the picture."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backends.llama_cpp.perplexity import Divergence, Estimate, Perplexity
from benchmarks.quantizations import Made, main, table
from tests.models.quantizable import write_quantizable

FLAGS = ("--rounds", "1", "--prompt", "16", "--generate", "4", "--threads", "1", "--ctx-size", "32")


def test_a_small_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, text, results = write_quantizable(tmp_path / "m.gguf"), tmp_path / "text", tmp_path / "r.json"
    text.write_text("the word of the first people " * 20)
    assert main([str(model), str(text), *FLAGS, "--types", "q8_0,q2_k", "--json", str(results)]) == 0
    original, large, small = msgspec.json.decode(results.read_bytes(), type=list[Made])
    assert [original.name, large.name, small.name] == ["F32", "Q8_0", "Q2_K"]
    assert original.n_bytes > large.n_bytes > small.n_bytes
    assert (
        original.quality and large.quality and large.quality.divergence and small.quality and small.quality.divergence
    )
    assert large.quality.divergence.base_perplexity == original.quality.perplexity
    assert 0 < large.quality.divergence.kl.value < small.quality.divergence.kl.value
    assert all(made.prompt_speeds[0] > 0 and made.decode_speeds[0] > 0 for made in (original, large, small))
    assert capsys.readouterr().out.splitlines()[2].startswith("| F32 | 32.00 |")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "r.json", "text"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["m", "--types", "Q99"], "unknown type Q99"),
        (["m", "nowhere.txt"], "no such file"),
        (["m", "--rounds", "0"], "1"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and reason in capsys.readouterr().err


def made(name: str, n_bytes: int, *, kl: float | None) -> Made:
    one = Estimate(1.5, 0.25)
    against = None if kl is None else Divergence(one, one, Estimate(kl, kl / 10), 0.5, 0.875)
    return Made(name, "", 4.5, n_bytes, [1234.4], [9.876], Perplexity(one, 1, 2, 3, 4, 5.0, against))


def test_the_table() -> None:
    models = [made("F16", 4 << 20, kl=None), made("Q4_K_M", 1 << 20, kl=0.125)]
    assert table(models).splitlines()[2:] == [
        "| F16 | 4.50 | 4.0 | 1,234 | 9.9 | 1.500 ± 0.250 |  |  |  |",
        "| Q4_K_M | 4.50 | 1.0 | 1,234 | 9.9 | 1.500 ± 0.250 | 1.5000 ± 0.2500 | 0.1250 ± 0.0125 | 87.5% |",
    ]
    for model in models:
        model.quality = None
    assert table(models).splitlines()[0] == "| type | bits per weight | MiB | prompt tok/s | decode tok/s |"


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.quantization_plot import plot

    models = [made("F16", 4 << 20, kl=None), made("Q4_K_M", 1 << 20, kl=0.125)]
    plot(models, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "Q4_K_M" in text and "KL divergence from F16" in text
    plot(models, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == text
    for model in models:
        model.quality = None
    plot(models, tmp_path / "speeds.svg")
    assert "KL divergence" not in (tmp_path / "speeds.svg").read_text()
