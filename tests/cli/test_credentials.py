"""The sources of a host's CHAP users and secrets, and their precedence."""

from pathlib import Path

import pytest
import typer

from odx_target.cli.hosts.credentials import (
    SECRET_VARIABLE,
    TARGET_SECRET_VARIABLE,
    TARGET_USER_VARIABLE,
    USER_VARIABLE,
    Credentials,
    credentials_of,
    with_given,
)
from odx_target.initiator.url import IscsiUrl, parse_url
from odx_target.target.config.error import ConfigError

PLACE = "portal/iqn.2026-11.io.a/0"
GIVEN = Credentials("me", "my secret", "it", "its secret")


def names(place: IscsiUrl) -> tuple[str | None, str | None, str | None, str | None]:
    return place.user, place.secret, place.target_user, place.target_secret


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        (f"iscsi://{PLACE}", Credentials(), (None, None, None, None)),
        (f"iscsi://{PLACE}", Credentials("me", "s"), ("me", "s", None, None)),
        (f"iscsi://{PLACE}", Credentials(secret="s"), (None, None, None, None)),
        (f"iscsi://{PLACE}", GIVEN, ("me", "my secret", "it", "its secret")),
        (f"iscsi://you@{PLACE}", GIVEN, ("you", "my secret", "it", "its secret")),
        (f"iscsi://you%yours@{PLACE}", GIVEN, ("you", "yours", "it", "its secret")),
        (f"iscsi://you%yours@{PLACE}?target_user=t&target_password=p", GIVEN, ("you", "yours", "t", "p")),
    ],
)
def test_the_url_wins_and_the_rest_comes_from_elsewhere(text: str, given: Credentials, wanted: tuple[str | None, ...]) -> None:
    assert names(with_given(parse_url(text), given, "URL")) == wanted


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (f"iscsi://you@{PLACE}", Credentials()),
        (f"iscsi://{PLACE}", Credentials("me")),
        (f"iscsi://{PLACE}", Credentials(target_user="it", target_secret="s")),
        (f"iscsi://{PLACE}", Credentials("me", "s", "it")),
        (f"iscsi://{PLACE}", Credentials("me", "s", None, "p")),
    ],
)
def test_what_does_not_go_together_is_said_without_a_secret(text: str, given: Credentials) -> None:
    with pytest.raises(typer.BadParameter, match="secret") as caught:
        with_given(parse_url(text), given, "URL")
    assert "my secret" not in str(caught.value)
    assert "secret=" not in repr(given)


def test_files_win_over_the_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        USER_VARIABLE: "their user",
        SECRET_VARIABLE: "their secret",
        TARGET_USER_VARIABLE: "their target",
        TARGET_SECRET_VARIABLE: "its secret",
    }
    assert credentials_of(None, None, None, None, environment) == Credentials(
        "their user", "their secret", "their target", "its secret"
    )
    assert credentials_of(None, None, None, None, dict.fromkeys(environment, "")) == Credentials()
    secret = tmp_path / "secret"
    secret.write_text("from a file\r\n")
    secret.chmod(0o600)
    assert credentials_of("me", secret, None, None, environment) == Credentials(
        "me", "from a file", "their target", "its secret"
    )
    assert capsys.readouterr().err == ""
    secret.chmod(0o644)
    credentials_of("me", secret, None, None, {})
    warning = capsys.readouterr().err
    assert "every user of this machine can read" in warning
    assert warning.count("\n") == 1
    assert "from a file" not in warning


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 5000, b"\0"])
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    with pytest.raises(ConfigError, match="secret file") as caught:
        credentials_of("me", secret, None, None, {})
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="No such file"):
        credentials_of("me", tmp_path / "absent", None, None, {})


def test_the_variables_are_those_of_libiscsi() -> None:
    assert {USER_VARIABLE, SECRET_VARIABLE, TARGET_USER_VARIABLE, TARGET_SECRET_VARIABLE} == {
        "LIBISCSI_CHAP_USERNAME",
        "LIBISCSI_CHAP_PASSWORD",
        "LIBISCSI_CHAP_TARGET_USERNAME",
        "LIBISCSI_CHAP_TARGET_PASSWORD",
    }
