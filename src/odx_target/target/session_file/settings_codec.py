"""The settings of an array as plain data and back, for a recording. Secrets and paths of the machine are left out."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum, Flag
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from odx_target.target.personality.personality import NO_PERSONALITY, Personality
from odx_target.target.personality.reading import personality_of
from odx_target.target.session_file.frames import RecordingDamaged

LEFT_OUT = frozenset({"pool_dir", "capacity_tier", "log_level", "chap_users", "target_chap"})
"""Fields of the settings that a recording never has: paths, secrets, and what changes no answer."""

COMMANDS = frozenset({"before", "after"})
"""Fields of schedules and arguments of operations that name programs. A replay must not run programs that a file names."""


def encode_settings(config: Config) -> dict[str, Any]:
    """Return the settings as plain data."""
    schedules = tuple(replace(each, fields=without_commands(each.fields)) for each in config.schedules)
    found: dict[str, Any] = _encoded(replace(config, schedules=schedules))
    return found


def decode_settings(data: Mapping[str, Any]) -> Config:
    """Return the settings that `encode_settings` has encoded. Raises RecordingDamaged."""
    try:
        found = _decoded(Config, data, "settings")
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RecordingDamaged(f"the settings of the recording cannot be used: {error}") from error
    assert isinstance(found, Config)
    return found


def without_commands(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a mapping without the names of programs."""
    return {name: value for name, value in values.items() if name not in COMMANDS}


def _encoded(value: Any) -> Any:
    if isinstance(value, Personality):
        return {"name": value.name, "table": _encoded(value.table)}
    if is_dataclass(value):
        return {
            each.name: _encoded(getattr(value, each.name)) for each in fields(value) if each.init and each.name not in LEFT_OUT
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _encoded(each) for key, each in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_encoded(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _decoded(kind: Any, data: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if data is None and NoneType in arguments:
            return None
        return _decoded(next(each for each in arguments if each is not NoneType), data, where)
    if origin is tuple:
        return _decoded_tuple(arguments, data, where)
    if origin is not None or kind is object:
        return dict(_of_kind(dict, data, where)) if origin is not None else data
    if kind is Personality:
        return _decoded_personality(_of_kind(dict, data, where), where)
    if is_dataclass(kind):
        return _decoded_dataclass(kind, _of_kind(dict, data, where), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(_of_kind(int, data, where) if issubclass(kind, Flag) else data)
    if kind is Path:
        raise RecordingDamaged(f"{where}: a recording has no paths")
    return _of_kind(kind, data, where)


def _decoded_tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    items = _of_kind(list, data, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decoded(arguments[0], each, where) for each in items)
    return tuple(_decoded(kind, each, where) for kind, each in zip(arguments, items, strict=True))


def _decoded_personality(data: Mapping[str, Any], where: str) -> Personality:
    """Return the personality that the content of its file describes, because the file may have changed since."""
    name, table = _of_kind(str, data["name"], where), _of_kind(dict, data["table"], where)
    try:
        return personality_of(name, table) if name else NO_PERSONALITY
    except ConfigError as error:
        raise RecordingDamaged(f"{where}: {error}") from error


def _decoded_dataclass(kind: Any, data: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    known = {each.name for each in fields(kind) if each.init} - LEFT_OUT
    if unknown := sorted(data.keys() - known):
        raise RecordingDamaged(f"{where}: {unknown[0]!r} is not known")
    return kind(**{name: _decoded(hints[name], value, f"{where}: {name}") for name, value in data.items()})


def _of_kind(kind: Any, data: Any, where: str) -> Any:
    if kind is float and type(data) is int:
        data = float(data)
    if type(data) is not kind:
        raise RecordingDamaged(f"{where}: {data!r:.60} is not of the kind {kind.__name__}")
    return data
