"""Names of the Hub's models."""

from __future__ import annotations

import pytest

from server.hub.name import HubName


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("org/model", HubName("org/model")),
        ("org/Model-7B_v0.1-GGUF:Q4_K_M", HubName("org/Model-7B_v0.1-GGUF", "Q4_K_M")),
        ("org/model@v1.0", HubName("org/model", revision="v1.0")),
        ("org/model@refs/pr/3:Q8_0", HubName("org/model", "Q8_0", "refs/pr/3")),
        ("hf://org/model:UD-Q4_K_XL", HubName("org/model", "UD-Q4_K_XL")),
    ],
)
def test_names(text: str, name: HubName) -> None:
    assert HubName.parse(text) == name
    assert str(name) == text.removeprefix("hf://")


@pytest.mark.parametrize(
    "text",
    [
        "", "model", "org/", "/model", "a/b/c", "org/model:", "org/model@", "org/model:Q4:Q8", "org/model Q4",
        "./model", "../model", "~/model", "/etc/passwd", "https://host/org", "org/model@../../x", "org/model@/x",
        "org/model@a//b", "org/a--b", "org/a..b", "org/a.git", "org/-a", "org/a.", "org/model@.", "org/modèle",
    ],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    assert HubName.parse(text) is None
