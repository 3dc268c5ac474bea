"""`odx-target check-config`: check a configuration file without starting an array."""

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from odx_target.cli.configuration.sample_config import sample_config
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns
from odx_target.iscsi.names import check_name
from odx_target.target.access.targets import authentications_of, target_configs, warnings_of
from odx_target.target.config.access_settings import AccessRule, find_rule
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, TargetConfig
from odx_target.target.config.settings_file import load_config, load_serve_config

ALL_LUNS = "all LUNs of the pool"
HEADINGS = ("target", "portals", "initiators", "LUNs")


class AccessData(TypedDict):
    """LUNs that initiators can use with a target."""

    target: str
    portals: Annotated[str, "HOST:PORT of each portal"]
    initiators: str
    luns: Annotated[str, "such as `0=first 1=second,read-only`"]


class ConfigAnswer(TypedDict):
    """A configuration file that is valid."""

    warnings: list[str]
    access: Annotated[list[AccessData], "empty if the initiator can use no target"]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("check-config")(check_config)


def check_config(
    file: Annotated[Path | None, typer.Argument(metavar="FILE.toml", help="The configuration file.", readable=False)] = None,
    initiator: Annotated[
        str | None, typer.Option(metavar="IQN", help="Show only the targets and LUNs of this initiator.")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Print a sample file in which every key is a comment.")] = False,
    as_json: Json = False,
) -> None:
    """Check a configuration file, or print a sample.

    The command shows which initiators can use which LUNs. It neither starts an array nor opens the pool. The exit code is 2 if
    the file is not valid.
    """
    if sample:
        typer.echo(sample_config(), nl=False)
        return
    if file is None:
        raise ConfigError("give a FILE.toml to check, or --sample")
    config = load_config(file)
    load_serve_config(file)
    authentications_of(config, _no_entropy)
    if initiator is not None:
        _check_initiator(initiator)
    warnings = list(warnings_of(config, file))
    rows = [row for target in target_configs(config) for row in access_rows(config, target, initiator)]
    if as_json:
        print_json("configuration", _answer(warnings, rows))
        return
    for warning in warnings:
        typer.echo(f"warning: {warning}")
    if rows:
        print_columns(HEADINGS, rows)
    else:
        typer.echo("this initiator can use no target")


def _answer(warnings: list[str], rows: list[tuple[str, str, str, str]]) -> ConfigAnswer:
    access: list[AccessData] = [
        {"target": target, "portals": portals, "initiators": initiators, "luns": luns}
        for target, portals, initiators, luns in rows
    ]
    return {"warnings": warnings, "access": access}


def access_rows(config: Config, target: TargetConfig, initiator: str | None) -> list[tuple[str, str, str, str]]:
    """Return a row for each access rule of a target, or only for the rule of one initiator."""
    portals = " ".join(str(portal) for portal in target.portals or config.portals)
    if not target.access:
        return [(target.iqn, portals, "every initiator", ALL_LUNS)]
    rules = target.access
    if initiator is not None:
        number = find_rule(rules, initiator)
        rules = () if number is None else (rules[number],)
    return [(target.iqn, portals, " ".join(rule.initiators), describe_luns(rule)) for rule in rules]


def describe_luns(rule: AccessRule) -> str:
    """Return the LUNs of a rule as text, such as `0=first 1=second,read-only`."""
    if rule.luns is None:
        return ALL_LUNS
    luns = sorted(rule.luns, key=lambda each: each.lun)
    return " ".join(f"{each.lun}={each.volume}{',read-only' if each.read_only else ''}" for each in luns) or "none"


def _check_initiator(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise ConfigError(f"--initiator: {error}") from None


def _no_entropy(_count: int) -> bytes:
    raise AssertionError("nobody logs in while a file is checked")
