"""The text of a configuration file for settings that were imported."""

import json
from collections.abc import Sequence

from odx_target.cli.configuration.importing.imported import NOBODY, Imported
from odx_target.target.config.access_settings import AccessRule
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.settings import Config, Portal, TargetConfig


def toml_text(imported: Imported) -> str:
    """Return a configuration file with the imported settings. Its comments name everything that needs attention."""
    config = imported.config()
    lines = [f"# {one_line(note)}" for note in imported.notes]
    lines += ["", f"iqn = {_quoted(config.iqn)}"]
    if config.portals != Config().portals:
        lines.append(f"portal = {_portals(config.portals)}")
    for lun in config.luns:
        lines += ["", "[[lun]]", f"name = {_quoted(lun.name)}", f"size = {lun.size_bytes}", f"block = {lun.block_bytes}"]
    for name in imported.sizeless:
        lines += ["", "# The size of this volume is not known.", "#[[lun]]", f"#name = {_quoted(name)}", '#size = "?"']
    lines += _rules("access", config.access)
    lines += _chap("", config.chap_users, config.target_chap)
    for target in config.targets:
        lines += _target(target)
    return "\n".join(lines).lstrip("\n") + "\n"


def _target(target: TargetConfig) -> list[str]:
    lines = ["", "[[target]]", f"iqn = {_quoted(target.iqn)}"]
    if target.portals is not None:
        lines.append(f"portal = {_portals(target.portals)}")
    if not target.chap_users:
        lines.append("chap = []")
    return lines + _rules("target.access", target.access) + _chap("target.", target.chap_users or (), target.target_chap)


def _rules(table: str, rules: Sequence[AccessRule]) -> list[str]:
    lines = []
    for rule in rules:
        lines += ["", *(["# No initiator may log in."] if rule.initiators == (NOBODY,) else []), f"[[{table}]]"]
        lines.append(f"initiator = [{', '.join(map(_quoted, rule.initiators))}]")
        if rule.luns is not None:
            luns = [
                f"  {{ lun = {each.lun}, volume = {_quoted(each.volume)}{', read-only = true' if each.read_only else ''} }},"
                for each in rule.luns
            ]
            lines += ["luns = [", *luns, "]"]
    return lines


def _chap(prefix: str, users: Sequence[ChapUser], own: TargetChap | None) -> list[str]:
    lines = []
    for each in users:
        lines += ["", f"[[{prefix}chap]]", f"user = {_quoted(each.user)}", f"secret = {_quoted(each.secret.decode())}"]
        if each.initiator is not None:
            lines.append(f"initiator = {_quoted(each.initiator)}")
    if own is not None:
        lines += ["", f"[{prefix}target-chap]", f"user = {_quoted(own.user)}", f"secret = {_quoted(own.secret.decode())}"]
    return lines


def _portals(portals: Sequence[Portal]) -> str:
    return f"[{', '.join(_quoted(str(portal)) for portal in portals)}]"


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML. Its escapes are those of JSON."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def one_line(text: str) -> str:
    """Return a text without characters that would end a comment."""
    return "".join(character if character.isprintable() else " " for character in text)
