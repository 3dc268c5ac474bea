"""`odx-target import-config`: convert the configuration of targetcli or tgt."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.configuration.importing.targetcli import import_targetcli
from odx_target.cli.configuration.importing.tgt import import_tgt
from odx_target.cli.configuration.importing.toml_text import one_line, toml_text
from odx_target.target.access.targets import authentications_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from odx_target.target.config.settings_file import config_of
from odx_target.target.config.toml_file import parse_table

MAX_BYTES = 16 << 20
"""Maximum size of a file to convert. The limit avoids long reads of a wrong file."""


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("import-config")(import_config)


def import_config(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON that targetcli has saved, or the targets.conf of tgt.",
            readable=False,
            show_default=False,
        ),
    ],
) -> None:
    """Convert the configuration of targetcli or tgt.

    The command prints a configuration file with the targets, LUNs, initiators and CHAP users. No data is copied. Comments in
    the output name everything that was left out, and what must be mended, such as CHAP secrets that are too short. Review the
    output, and check it with check-config, before you serve it.
    """
    text = _text(file)
    try:
        imported = import_targetcli(text) if text.lstrip().startswith("{") else import_tgt(text, size_of)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    if not imported.targets:
        raise ConfigError(f"{file}: there is no iSCSI target in this file")
    converted = toml_text(imported)
    if fault := fault_of(converted):
        typer.echo(f"# Mend this file before you serve it: {one_line(fault)}")
    typer.echo(converted, nl=False)


def fault_of(text: str) -> str | None:
    """Return the reason why the text of a configuration file is not valid. Return None if it is valid."""
    try:
        authentications_of(config_of(parse_table(text), Path(), Config()), secrets.token_bytes)
    except ConfigError as error:
        return str(error)
    return None


def size_of(path: str) -> int | None:
    """Return the size of a regular file or block device. Return None if it cannot be found out."""
    try:
        with Path(path).open("rb") as file:
            return file.seek(0, 2)
    except (OSError, ValueError):
        return None


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: more than {MAX_BYTES} bytes are not a configuration file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8 text") from error
