"""The reading of personality files: those of the package, by their names, and those of testers, by their paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.scsi.sense import Condition
from odx_target.scsi.unit.unit_personality import Provisioning, UnitPersonality
from odx_target.target.config.error import ConfigError
from odx_target.target.config.fault_settings import fault_rules_of
from odx_target.target.config.toml_file import read_table
from odx_target.target.faults.names import nearest, plain
from odx_target.target.personality.personality import Personality, Setting
from odx_target.target.personality.values import condition
from odx_target.target.personality.words import FREE_SECTIONS, SECTIONS, WORDS, Place, Word
from odx_target.target.personality.zero_fields import forbidden_bits

FOLDER = Path(__file__).parents[2] / "personalities"
"""The folder with the personalities of the package. The name of each file is the name of its personality."""

ENDING = ".toml"
TEXTS = ("title", "description")
HEAD = (*TEXTS, "sources")
"""Keys that describe the personality."""

Table = Mapping[str, Any]


def known_personalities() -> list[str]:
    """Return the names of the personalities of the package."""
    return sorted(path.stem for path in FOLDER.glob(f"*{ENDING}"))


def find_personality(text: str, base: Path = Path()) -> Personality:
    """Return the personality with a name, or that in a file. A text with a slash or with the ending .toml is the path of a
    file. Paths are relative to `base`.

    Raises ConfigError.
    """
    if "/" in text or text.endswith(ENDING):
        if "\0" in text:
            raise ConfigError("personality: a path has no zero bytes")
        path = base / text
    else:
        name = plain(text)
        if name not in known_personalities():
            raise ConfigError(f"there is no personality {text[:60]!r}; {nearest(name, known_personalities())}")
        path = FOLDER / f"{name}{ENDING}"
    table = read_table(path)
    try:
        return personality_of(path.stem, table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def personality_of(name: str, table: Table) -> Personality:
    """Return the personality that the table of a file describes. Raises ConfigError."""
    known = (*HEAD, *SECTIONS, *FREE_SECTIONS, "fault")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"unknown key {key[:60]!r}; {nearest(key, known)}")
        if key in (*SECTIONS, *FREE_SECTIONS) and not isinstance(value, dict):
            raise ConfigError(f"{key}: want a table [{key}]")
    words = _words_in(table)
    fields = {place: {word.field: value for word, _, value in words if word.place is place} for place in Place}
    faults = fault_rules_of(table["fault"]) if "fault" in table else ()
    return Personality(
        name=name,
        **_head_of(table),
        unit=UnitPersonality(
            **fields[Place.UNIT], limits=fields[Place.LIMIT], provisioning=Provisioning(**fields[Place.PROVISIONING])
        ),
        copy_limits=_copy_limits(fields[Place.COPY_LIMIT]),
        copy_options=CopyOptions(**fields[Place.COPY_OPTION]),
        forbidden_bits=forbidden_bits(table.get("zero-fields", {})),
        conditions=_conditions(table.get("sense", {})),
        faults=tuple({**rule, "name": _rule_name(name, rule, at)} for at, rule in enumerate(faults, 1)),
        settings=tuple(_settings(words, table)),
        table=table,
        **fields[Place.PERSONALITY],
    )


def _copy_limits(fields: dict[str, int]) -> CopyLimits:
    try:
        return CopyLimits(**fields)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _words_in(table: Table) -> list[tuple[Word, Any, Any]]:
    """Return the settings in a table with their values, as given and converted. Raises ConfigError."""
    found = []
    for section in SECTIONS:
        words = {word.key: word for word in WORDS if word.section == section}
        for key, value in table.get(section, {}).items():
            if key not in words:
                raise ConfigError(f"{section}: unknown key {key[:60]!r}; {nearest(key, words)}")
            try:
                found.append((words[key], value, words[key].parse(value)))
            except ConfigError as error:
                raise ConfigError(f"{section}.{key}: {error}") from error
    if {"missing", "only"} <= table.get("commands", {}).keys():
        raise ConfigError("commands: give missing or only, not both")
    return found


def _head_of(table: Table) -> dict[str, Any]:
    for key in TEXTS:
        value = table.get(key, "")
        if not isinstance(value, str) or not value.isprintable():
            raise ConfigError(f"{key}: want a text of one line")
    sources = table.get("sources", [])
    if not isinstance(sources, list) or not all(isinstance(each, str) and each.isprintable() for each in sources):
        raise ConfigError("sources: want a list of texts")
    return {**{key: table.get(key, "") for key in TEXTS}, "sources": tuple(sources)}


def _conditions(table: Table) -> dict[Condition, Condition]:
    found = {}
    for reported, instead in table.items():
        try:
            found[condition(reported)] = condition(instead)
        except ConfigError as error:
            raise ConfigError(f"sense: {error}") from error
    return found


def _rule_name(name: str, rule: Table, at: int) -> str:
    """Return the name of a rule of a personality. The name of the personality keeps it apart from the rules of testers."""
    return f"{plain(name)[:24] or 'personality'}.{rule.get('name', at)}"[:64]


def _settings(words: list[tuple[Word, Any, Any]], table: Table) -> list[Setting]:
    """Return all settings of a file as texts."""
    return [
        *(Setting(word.name, _text(value), word.explanation) for word, value, _ in words),
        *(
            Setting(f"{section}: {key}", _text(value), meaning)
            for section, (_, meaning) in FREE_SECTIONS.items()
            for key, value in table.get(section, {}).items()
        ),
        *(
            Setting(f"fault: {rule.get('name', at)}", _rule_text(rule), "a rule of faults, with the words of docs/faults.md")
            for at, rule in enumerate(table.get("fault", ()), 1)
        ),
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "; ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _rule_text(rule: Table) -> str:
    words = ((key, value) for key, value in rule.items() if key != "name")
    return " ".join(key if value is True else f"{key}={_text(value)}" for key, value in words)
