"""The tables `[[path]]` of a TOML file, and the checks of the settings of a path. docs/configuration.md lists the keys."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odx_target.replica.link.throttle import DAY_MINUTES, Rates
from odx_target.replica.paths.settings import MAX_PATHS, Address, CompressionChoice, Right
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_portal, size_of
from odx_target.target.config.settings import PathTemplate

MAX_PATH_NAME_CHARACTERS = 64
"""Maximum length of the name of a path. Names appear in tables and log lines."""

PATH_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_PATH_NAME_CHARACTERS - 1}}}")
_HOURS = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_KEYS = ("name", "peer", "key-file", "rights", "throttle", "compress")
_THROTTLE_KEYS = ("off-peak", "peak", "peak-hours")


def parse_path_name(value: object) -> str:
    """Check the name of a path. Raises ConfigError."""
    if not isinstance(value, str) or not PATH_NAME.fullmatch(value):
        raise ConfigError(f"name: want up to {MAX_PATH_NAME_CHARACTERS} letters, digits and ._-, not {str(value)[:80]!r}")
    return value


def parse_peer(value: object) -> Address | None:
    """Convert "HOST:PORT" to the address of a peer. None stands for a peer that dials itself. Raises ConfigError."""
    if value is None:
        return None
    if not isinstance(value, str) or not re.search(r":[0-9]+$", value):
        raise ConfigError(f"address: want HOST:PORT of the link port of the other array, not {str(value)[:80]!r}")
    portal = parse_portal(value)
    if not portal.port:
        raise ConfigError("address: nobody can connect to port 0")
    return Address(portal.host, portal.port)


def parse_rights(value: object) -> frozenset[Right]:
    """Check a list of rights. Raises ConfigError."""
    known = [right.value for right in Right]
    if not isinstance(value, list) or not all(isinstance(each, str) and each in known for each in value):
        raise ConfigError(f"rights: want a list of {', '.join(known)}")
    return frozenset(map(Right, value))


def parse_peak_hours(value: object) -> tuple[int, int]:
    """Convert "HH:MM-HH:MM" in UTC to two minutes of the day. Raises ConfigError."""
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(f"peak_hours: want HH:MM-HH:MM in UTC, not {str(value)[:80]!r}")
    first, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if max(first, end) >= DAY_MINUTES or first == end:
        raise ConfigError("peak_hours: want two different times from 00:00 to 23:59")
    return first, end


def parse_compression(value: object) -> CompressionChoice:
    """Check the choice of a compression. Raises ConfigError."""
    if not isinstance(value, str) or value not in set(CompressionChoice):
        raise ConfigError(f"compress: want {', '.join(CompressionChoice)}, not {str(value)[:80]!r}")
    return CompressionChoice(value)


def rates_of(off_peak: int | None, peak: int | None, peak_hours: tuple[int, int] | None) -> Rates:
    """Return the rates of a throttle, in bytes per second. Raises ConfigError."""
    try:
        rates = Rates(off_peak, peak, peak_hours)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if (peak is None) != (peak_hours is None):
        raise ConfigError("peak hours and their rate need each other")
    return rates


def path_templates_of(value: Any, base: Path) -> tuple[PathTemplate, ...]:
    """Return the paths in the tables of a file. Key files are relative to `base`. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("path: want tables [[path]] with name")
    if len(value) > MAX_PATHS:
        raise ConfigError(f"{len(value)} paths are over the limit of {MAX_PATHS}")
    templates = tuple(_template(row, base) for row in value)
    names = [each.name for each in templates]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"path {name} is named twice")
    return templates


def _template(row: Mapping[str, Any], base: Path) -> PathTemplate:
    name = parse_path_name(row.get("name"))
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"path {name}: unknown key {key!r}; known are {', '.join(_KEYS)}")
    key_file = row.get("key-file")
    if key_file is not None and (not isinstance(key_file, str) or not key_file or "\0" in key_file):
        raise ConfigError(f"path {name}: key-file: want the path of a file, not {key_file!r}")
    try:
        rights = parse_rights(row["rights"]) if "rights" in row else None
        rates = _rates(row["throttle"]) if "throttle" in row else None
        peer = parse_peer(row.get("peer"))
        compression = parse_compression(row["compress"]) if "compress" in row else None
    except ConfigError as error:
        raise ConfigError(f"path {name}: {error}") from error
    return PathTemplate(name, peer, None if key_file is None else base / key_file, rights, rates, compression)


def _rates(value: Any) -> Rates:
    """Return the rates in a table, or the one rate of a text such as "20M". Raises ConfigError."""
    if isinstance(value, str):
        return rates_of(size_of("throttle", value), None, None)
    if not isinstance(value, dict) or not set(value) <= set(_THROTTLE_KEYS):
        raise ConfigError('throttle: want a rate such as "20M", or { off-peak, peak, peak-hours }')
    off_peak, peak = (size_of(f"throttle {key}", value[key]) if key in value else None for key in ("off-peak", "peak"))
    return rates_of(off_peak, peak, parse_peak_hours(value["peak-hours"]) if "peak-hours" in value else None)
