"""The CHAP users and secrets of a host and of its targets: from the URL, from options, or from the environment.

For each target the URL takes precedence over the options, and the options take precedence over the environment variables. The
environment variables have the same names as in libiscsi. Every user of the machine can see command lines, and therefore also
secrets in URLs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from odx_target.initiator.url import IscsiUrl
from odx_target.target.config.chap import is_exposed, read_secret
from odx_target.target.config.error import ConfigError

USER_VARIABLE, SECRET_VARIABLE = "LIBISCSI_CHAP_USERNAME", "LIBISCSI_CHAP_PASSWORD"
TARGET_USER_VARIABLE, TARGET_SECRET_VARIABLE = "LIBISCSI_CHAP_TARGET_USERNAME", "LIBISCSI_CHAP_TARGET_PASSWORD"

ChapUser = Annotated[
    str | None, typer.Option("--chap-user", metavar="NAME", help=f"CHAP user to log in as; default: ${USER_VARIABLE}.")
]
ChapSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--chap-secret-file",
        readable=False,
        metavar="FILE",
        help=f"File with the secret of --chap-user; default: the secret in ${SECRET_VARIABLE}.",
    ),
]
TargetChapUser = Annotated[
    str | None,
    typer.Option(
        "--target-chap-user", metavar="NAME", help=f"CHAP user of the target (mutual CHAP); default: ${TARGET_USER_VARIABLE}."
    ),
]
TargetChapSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--target-chap-secret-file",
        readable=False,
        metavar="FILE",
        help=f"File with the secret of --target-chap-user; default: the secret in ${TARGET_SECRET_VARIABLE}.",
    ),
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Users and secrets from options and environment. A value that was not given is None."""

    user: str | None = None
    secret: str | None = field(default=None, repr=False)
    target_user: str | None = None
    target_secret: str | None = field(default=None, repr=False)


def credentials_of(
    chap_user: str | None,
    chap_secret_file: Path | None,
    target_chap_user: str | None,
    target_chap_secret_file: Path | None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """Return the users and secrets from options and environment.

    The function prints a warning if other users can read a secret file. Raises ConfigError for a file without a secret.
    """
    return Credentials(
        chap_user or environment.get(USER_VARIABLE) or None,
        _secret(chap_secret_file) or environment.get(SECRET_VARIABLE) or None,
        target_chap_user or environment.get(TARGET_USER_VARIABLE) or None,
        _secret(target_chap_secret_file) or environment.get(TARGET_SECRET_VARIABLE) or None,
    )


def with_given(place: IscsiUrl, given: Credentials, parameter: str) -> IscsiUrl:
    """Return the URL with missing users and secrets filled in from `given`. Raises typer.BadParameter for a user without a
    secret.
    """
    user = place.user or given.user
    secret = place.secret if place.secret is not None else given.secret
    if user is not None and secret is None:
        raise typer.BadParameter(
            f"user {user!r} has no secret: give --chap-secret-file FILE, ${SECRET_VARIABLE} or USER%SECRET@",
            param_hint=parameter,
        )
    target_user, target_secret = place.target_user, place.target_secret
    if target_secret is None and (given.target_user or given.target_secret):
        target_user, target_secret = given.target_user, given.target_secret
        if user is None or target_user is None or target_secret is None:
            raise typer.BadParameter(
                "a target proves itself by a user and a secret of its own, and only to a user with a secret",
                param_hint=parameter,
            )
    return replace(
        place, user=user, secret=None if user is None else secret, target_user=target_user, target_secret=target_secret
    )


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = read_secret(path).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"secret file {path}: that is not UTF-8 text") from None
    if not secret or not secret.isprintable():
        raise ConfigError(f"secret file {path}: want a secret on one line")
    if is_exposed(path):
        typer.echo(f"odx-target: warning: {path} has a CHAP secret that every user of this machine can read", err=True)
    return secret
