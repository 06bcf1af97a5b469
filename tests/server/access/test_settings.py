"""The settings of access: where keys come from, and that none is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.access.access import Access
from server.access.key_file import KeyFileError
from server.access.keys import hashed
from server.access.tls import CertificateError
from server.command_line import UsageError
from server.config import Settings
from tests.server.settings import load_settings

SECRET = "sk-do-not-repeat-me"


def load(*arguments: str, **environment: str) -> Settings:
    return load_settings(arguments, environment)


def test_keys_from_everywhere_are_hashes(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'api-key = ["{SECRET}", "b,c"]\nadmin-key = "d"\n')
    for settings in (
        load("--api-key", f"{SECRET},b", "--api-key", "c", "--admin-key", "d"),
        load(PADDOCK_API_KEY=f"{SECRET}, b,c", PADDOCK_ADMIN_KEY="d"),
        load("--config", str(file)),
    ):
        assert settings.api_key == (hashed(SECRET), hashed("b"), hashed("c"))
        assert settings.admin_key == (hashed("d"),)
        assert SECRET not in repr(settings)


@pytest.mark.parametrize("value", [f"{SECRET} x", f"{SECRET},ü", ",", SECRET * 100])
def test_a_key_that_can_t_be_one_is_not_repeated(tmp_path: Path, value: str) -> None:
    file = tmp_path / "c.toml"
    for written in (f'api-key = "{value}"', f'api-key = ["{value}"]', f'api-key = "{value}'):
        file.write_text(written)
        with pytest.raises(UsageError) as caught:
            load("--config", str(file))
        assert SECRET not in str(caught.value)
    for arguments, environment in ((["--api-key", value], {}), ([], {"PADDOCK_API_KEY": value})):
        with pytest.raises(UsageError) as caught:
            load_settings(arguments, environment)
        assert str(caught.value).endswith("must be keys of visible ASCII characters, separated by commas")


def test_keys_have_names_and_rights(tmp_path: Path) -> None:
    assert Access.of(load()) == Access(None, None)
    file = tmp_path / "keys"
    file.write_text("from-file\n")
    settings = load("--api-key", "a,b", "--admin-key", "c", "--api-key-file", str(file))
    keys = Access.of(settings).keys
    assert keys is not None and keys.has_admin
    found = [keys.find(secret) for secret in (b"a", b"b", b"c", b"from-file")]
    assert [(key.name, key.admin) for key in found if key] == [
        ("api-key-1", False),
        ("api-key-2", False),
        ("admin-key-1", True),
        ("line-1", False),
    ]


@pytest.mark.parametrize(
    ("flags", "error", "reason"),
    [
        ("--api-key-file nowhere", KeyFileError, "cannot read nowhere: No such file"),
        ("--api-key a --admin-key a", KeyFileError, "the keys api-key-1 and admin-key-1 are the same"),
        ("--ssl-cert-file a.pem", CertificateError, "give both"),
        ("--ssl-key-file a.pem", CertificateError, "give both"),
        ("--ssl-cert-file a.pem --ssl-key-file b.pem", CertificateError, "cannot read a.pem"),
    ],
)
def test_what_can_t_be_used(flags: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        Access.of(load(*flags.split()))


def test_cors_origins() -> None:
    assert load("--cors-origins", "https://a.example/, http://localhost:3000").cors_origins == (
        "https://a.example",
        "http://localhost:3000",
    )
    assert load("--cors-origins", "*").cors_origins == ("*",)
    with pytest.raises(UsageError, match="must be origins as"):
        load("--cors-origins", "a.example")


def test_a_kubernetes_service_called_paddock_admin_does_no_harm() -> None:
    assert load(PADDOCK_ADMIN_PORT="tcp://10.0.0.1:9090").admin_port is None
