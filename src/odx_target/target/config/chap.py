"""The CHAP settings of an array. CHAP settings come from a TOML file, from the command line, or from Python.

A secret never appears in a message or in the `repr` of an object.
"""

import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odx_target.iscsi.login.chap import Account, Accounts, Credentials
from odx_target.iscsi.names import check_name
from odx_target.target.config.error import ConfigError

MIN_SECRET_BYTES = 12
"""Minimum length of a CHAP secret: a secret of less than 96 bits would require IPsec (RFC 7143 9.2.1)."""
MAX_SECRET_BYTES = 255
"""Maximum length of a CHAP secret. No initiator accepts a longer secret (Windows accepts 16 bytes, open-iscsi 255 bytes)."""
MAX_USER_BYTES = 255
"""Maximum length of a CHAP user's name. By default, the value of a text key has at most 255 bytes (RFC 7143 6.1)."""
MAX_USERS = 1024
"""Maximum number of CHAP users. An array serves far fewer hosts.

The limit avoids a long check if the user gives a wrong file.
"""
MAX_SECRET_FILE_BYTES = 4096
"""Maximum size of a secret file. A secret and its newline are much shorter than this.

The limit avoids long reads if the user gives a wrong file.
"""


@dataclass(frozen=True, slots=True)
class ChapUser:
    """The user name and the secret with which initiators log in.

    If `initiator` is not None, only the initiator with this name may log in as this user. `secret_file` is the file that
    contains the secret, or None if the secret has no separate file.
    """

    user: str
    secret: bytes = field(repr=False)
    initiator: str | None = None
    secret_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TargetChap:
    """The user and secret of the target itself, for initiators that request mutual CHAP."""

    user: str
    secret: bytes = field(repr=False)
    secret_file: Path | None = None


def chap_user(user: str, secret: bytes, initiator: str | None = None, secret_file: Path | None = None) -> ChapUser:
    """Check the values, and return a ChapUser. Raises ConfigError."""
    _check_credentials("chap", user, secret)
    if initiator is not None:
        try:
            check_name(initiator)
        except ValueError as error:
            raise ConfigError(f"chap user {user!r}: initiator: {error}") from None
    return ChapUser(user, secret, initiator, secret_file)


def target_chap(user: str, secret: bytes, secret_file: Path | None = None) -> TargetChap:
    """Check the values, and return a TargetChap. Raises ConfigError."""
    _check_credentials("target-chap", user, secret)
    return TargetChap(user, secret, secret_file)


def read_secret(path: Path) -> bytes:
    """Return the secret that a file contains. The line end after the secret is removed. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"secret file {path}: {error.strerror}") from error
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise ConfigError(f"secret file {path}: more than {MAX_SECRET_FILE_BYTES} bytes are not a secret")
    return content.removesuffix(b"\n").removesuffix(b"\r")


def user_and_secret_file(option: str, user: str | None, secret_file: Path | None) -> tuple[str, Path] | None:
    """Return the values of two options that must be given together, such as --chap-user and --chap-secret-file.

    Returns None if neither is given. Raises ConfigError if only one of them is given.
    """
    if user is None and secret_file is None:
        return None
    if user is None or secret_file is None:
        raise ConfigError(f"--{option}-user and --{option}-secret-file go together, one of them is missing")
    return user, secret_file


def chap_user_from_file(user: str, path: Path) -> ChapUser:
    """Return a user with the secret in a file. Raises ConfigError."""
    return chap_user(user, read_secret(path), secret_file=path)


def target_chap_from_file(user: str, path: Path) -> TargetChap:
    """Return the target's own user, with the secret that is read from the file `path`. Raises ConfigError."""
    return target_chap(user, read_secret(path), path)


def chap_users_of(value: Any, base: Path) -> tuple[ChapUser, ...]:
    """Return the users in the `[[chap]]` tables of a file in directory `base`. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("chap: want tables [[chap]] with user, and secret or secret-file")
    return tuple(_chap_user(row, base) for row in value)


def target_chap_of(value: Any, base: Path) -> TargetChap:
    """Return the target's own user in the `[target-chap]` table of a file in directory `base`. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError("target-chap: want a table [target-chap] with user, and secret or secret-file")
    return target_chap(*_user_and_secret("target-chap", value, base, ()))


def accounts_of(users: Sequence[ChapUser], target: TargetChap | None) -> Accounts | None:
    """Return the accounts with which a target authenticates initiators. Return None if every initiator may log in.

    Raises ConfigError for settings that contradict each other.
    """
    if not users and target is not None:
        raise ConfigError("target-chap: mutual CHAP needs at least one chap user, initiators prove themselves first")
    if len(users) > MAX_USERS:
        raise ConfigError(f"chap: {len(users)} users are over the limit of {MAX_USERS}")
    user, times = max(Counter(each.user for each in users).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise ConfigError(f"chap: user {user!r} is named twice")
    for each in users:
        _check_credentials("chap", each.user, each.secret)
        if target is not None and each.secret == target.secret:
            raise ConfigError(f"chap: user {each.user!r} and target-chap have the same secret, which RFC 7143 9.2.1 forbids")
    if target is not None:
        _check_credentials("target-chap", target.user, target.secret)
    own = None if target is None else Credentials(target.user, target.secret)
    return Accounts([Account(Credentials(each.user, each.secret), each.initiator) for each in users], own) if users else None


def chap_warnings(users: Sequence[ChapUser], target: TargetChap | None, config_file: Path | None) -> list[str]:
    """Return warnings, one line each, about settings that are allowed but unsafe.

    `config_file` contains the secrets that are not in separate files.
    """
    files = dict.fromkeys(each.secret_file or config_file for each in users)
    if target is not None:
        files[target.secret_file or config_file] = None
    found = [f"{path} has a CHAP secret that every user of this machine can read" for path in files if is_exposed(path)]
    shared = [each.user for each in users if sum(each.secret == other.secret for other in users) > 1]
    if shared:
        found.append(f"CHAP users {', '.join(map(repr, shared))} have the same secret: each can pass for the others")
    return found


def _check_credentials(table: str, user: str, secret: bytes) -> None:
    if not user or not user.isprintable() or len(user.encode()) > MAX_USER_BYTES:
        raise ConfigError(f"{table}: user {user[:80]!r}: want a name on one line, at most {MAX_USER_BYTES} bytes")
    if len(secret) < MIN_SECRET_BYTES:
        least = f"RFC 7143 wants {MIN_SECRET_BYTES} (96 bits) or more"
        raise ConfigError(f"{table} user {user!r}: the secret has {len(secret)} bytes, {least}")
    if len(secret) > MAX_SECRET_BYTES:
        raise ConfigError(f"{table} user {user!r}: the secret has more than {MAX_SECRET_BYTES} bytes")
    if set(secret) & set(b"\0\r\n"):
        raise ConfigError(f"{table} user {user!r}: the secret is not on one line")


def _chap_user(row: Mapping[str, Any], base: Path) -> ChapUser:
    user, secret, secret_file = _user_and_secret("chap", row, base, ("initiator",))
    initiator = row.get("initiator")
    if initiator is not None and not isinstance(initiator, str):
        raise ConfigError(f"chap user {user!r}: initiator: want a text in quotes")
    return chap_user(user, secret, initiator, secret_file)


def _user_and_secret(table: str, row: Mapping[str, Any], base: Path, others: Sequence[str]) -> tuple[str, bytes, Path | None]:
    """Return the user, the secret and the secret file of a table.

    Error messages contain no values, because any value may be a secret.
    """
    known = ("user", "secret", "secret-file", *others)
    if unknown := sorted(row.keys() - set(known)):
        raise ConfigError(f"{table}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    for key in ("user", "secret", "secret-file"):
        if key in row and not isinstance(row[key], str):
            raise ConfigError(f"{table}: {key}: want a text in quotes")
    if "user" not in row:
        raise ConfigError(f"{table}: user is missing")
    if ("secret" in row) == ("secret-file" in row):
        raise ConfigError(f"{table} user {row['user']!r}: want either secret or secret-file")
    if "secret" in row:
        return row["user"], row["secret"].encode(), None
    if not row["secret-file"] or "\0" in row["secret-file"]:
        raise ConfigError(f"{table} user {row['user']!r}: secret-file is no path")
    path = base / row["secret-file"]
    return row["user"], read_secret(path), path


def is_exposed(path: Path | None) -> bool:
    """True if every user of the machine can read the file."""
    with suppress(OSError):
        return path is not None and bool(path.stat().st_mode & stat.S_IROTH)
    return False
