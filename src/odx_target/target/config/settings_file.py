"""Settings of an array and of the command `serve` from a TOML file. docs/configuration.md lists the keys."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from odx_target.copymgr.limits import MAX_CONCURRENT_COPIES, TokenAccess, UnreachableSense
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.access_settings import access_rules_of
from odx_target.target.config.address_settings import announced_of, redirect_rules_of
from odx_target.target.config.chap import chap_users_of, target_chap_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.fault_settings import fault_rules_of, fault_seed_of
from odx_target.target.config.group_settings import group_templates_of
from odx_target.target.config.parsing import (
    check_luns,
    lun_config,
    parse_capacity_compression,
    parse_capacity_limit,
    parse_choice,
    parse_cleaning_share,
    parse_copy_rate,
    parse_http_address,
    parse_iqn,
    parse_link_address,
    parse_log_level,
    parse_map_memory,
    parse_memory_limit,
    parse_metrics_address,
    parse_pool_limit,
    parse_record_limit,
    parse_soft_thresholds,
    size_of,
)
from odx_target.target.config.path_settings import path_templates_of
from odx_target.target.config.port_group_settings import (
    access_modes_of,
    port_groups_of,
    portal_groups_of,
    transition_time_of,
)
from odx_target.target.config.protect_settings import protect_templates_of
from odx_target.target.config.schedule_settings import schedule_templates_of
from odx_target.target.config.settings import Config, LogFormat, LunConfig, ServeConfig
from odx_target.target.config.target_settings import (
    max_commands_of,
    max_sessions_of,
    memory_share_of,
    port_group_number_of,
    portals_of,
    relative_target_port_of,
    target_configs_of,
)
from odx_target.target.config.toml_file import read_table
from odx_target.target.personality.reading import find_personality
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES, MIN_SNAP_BYTES

Part = TypeVar("Part", "Config", "ServeConfig")


def load_config(path: Path) -> Config:
    """Return the settings of the array in a TOML file. docs/configuration.md lists the keys. Raises ConfigError."""
    return _load(path, Config(), _KEYS)


def config_of(table: Mapping[str, Any], base: Path, config: Config) -> Config:
    """Return `config` with the settings of a table that has the keys of a TOML file. Paths are relative to `base`.

    Raises ConfigError.
    """
    return _from_table(table, base, config, _KEYS)


def load_serve_config(path: Path) -> ServeConfig:
    """Return the settings of the command `serve` in a TOML file. Raises ConfigError."""
    return _load(path, ServeConfig(), _SERVE_KEYS)


def _load(path: Path, part: Part, keys: "Keys") -> Part:
    table = read_table(path)
    try:
        return _from_table(table, path.parent, part, keys)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _from_table(table: Mapping[str, Any], base: Path, part: Part, keys: "Keys") -> Part:
    known = _KEYS | _SERVE_KEYS
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"unknown key {key!r}; known are {', '.join(sorted(known))}")
        setting = known[key](value, base)
        if key in keys:
            part = replace(part, **setting)
    return part


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key}: want a text in quotes, not {value!r}")
    return value


def _path(key: str, value: Any) -> Path:
    text = _text(key, value)
    if not text or "\0" in text:
        raise ConfigError(f"{key}: {text!r} is no path")
    return Path(text)


def _luns(value: Any) -> tuple[LunConfig, ...]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("lun: want tables [[lun]] with name, size and optionally block, compression and tier")
    return check_luns(_lun(row) for row in value)


def _lun(row: Mapping[str, Any]) -> LunConfig:
    unknown = set(row) - {"name", "size", "block", "compression", "tier"}
    if unknown or not {"name", "size"} <= set(row):
        raise ConfigError(
            f"lun: want name, size and optionally block, compression and tier, not {', '.join(sorted(row)) or 'nothing'}"
        )
    block = row.get("block", 512)
    if type(block) is not int:
        raise ConfigError(f"lun: block {block!r} is not 512 or 4096")
    compression = _text("lun compression", row["compression"]) if "compression" in row else None
    tier = _text("lun tier", row["tier"]) if "tier" in row else None
    return lun_config(_text("lun name", row["name"]), size_of("lun size", row["size"]), block, compression, tier)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{key}: want true or false, not {value!r}")
    return value


def _names(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{key}: want a list of names, not {value!r}")
    return tuple(_text(key, name) for name in value)


def _snap_bytes(key: str, value: Any) -> int:
    if type(value) is not int or not MIN_SNAP_BYTES <= value <= MAX_SNAP_BYTES:
        raise ConfigError(f"{key}: want a number of bytes from {MIN_SNAP_BYTES} to {MAX_SNAP_BYTES}, not {value!r}")
    return value


def _seconds(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise ConfigError(f"{key}: want seconds, more than 0 and at most 3600, not {value!r}")
    return float(value)


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_CONCURRENT_COPIES:
        raise ConfigError(f"{key}: want a number from 1 to {MAX_CONCURRENT_COPIES}, not {value!r}")
    return value


Keys = Mapping[str, Callable[[Any, Path], dict[str, Any]]]
"""Table that maps each key of the file to a function.

The function makes settings from the value of the key and the folder of the file.
"""

_KEYS: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "pool": lambda value, base: {"pool_dir": base / _path("pool", value)},
    "lun": lambda value, _base: {"luns": _luns(value)},
    "personality": lambda value, base: {"personality": find_personality(_text("personality", value), base)},
    "fault": lambda value, _base: {"faults": fault_rules_of(value)},
    "fault-seed": lambda value, _base: {"fault_seed": fault_seed_of(value)},
    "schedule": lambda value, _base: {"schedules": schedule_templates_of(value)},
    "portal": lambda value, _base: {"portals": portals_of(value)},
    "access": lambda value, _base: {"access": access_rules_of(value)},
    "target": lambda value, base: {"targets": target_configs_of(value, base)},
    "max-sessions": lambda value, _base: {"max_sessions": max_sessions_of(value)},
    "max-commands": lambda value, _base: {"max_commands": max_commands_of(value)},
    "memory-share": lambda value, _base: {"memory_share": memory_share_of(value)},
    "port-group": lambda value, _base: {"port_group": port_group_number_of(value)},
    "relative-target-port": lambda value, _base: {"relative_target_port": relative_target_port_of(value)},
    "portal-group": lambda value, _base: {"portal_groups": portal_groups_of(value)},
    "target-port-group": lambda value, _base: {"port_groups": port_groups_of(value)},
    "asymmetric-access": lambda value, _base: {"asymmetric_access": access_modes_of(value)},
    "transition-time": lambda value, _base: {"transition_time_s": transition_time_of(value)},
    "announce": lambda value, _base: {"announced": announced_of(value)},
    "redirect": lambda value, _base: {"redirects": redirect_rules_of(value)},
    "token-access": lambda value, _base: {"token_access": parse_choice(TokenAccess, value, "token-access: ")},
    "unreachable-sense": lambda value, _base: {
        "unreachable_sense": parse_choice(UnreachableSense, value, "unreachable-sense: ")
    },
    "iqn": lambda value, _base: {"iqn": parse_iqn(_text("iqn", value))},
    "pool-limit": lambda value, _base: {"pool_limit_bytes": parse_pool_limit(value)},
    "polling": lambda value, _base: {"polling": _flag("polling", value)},
    "capacity-tier": lambda value, base: {"capacity_tier": base / _path("capacity-tier", value)},
    "capacity-limit": lambda value, _base: {"capacity_limit_bytes": parse_capacity_limit(value)},
    "capacity-compression": lambda value, _base: {"capacity_compression": parse_capacity_compression(value)},
    "cleaning": lambda value, _base: {"cleaning": _flag("cleaning", value)},
    "cleaning-share": lambda value, _base: {"cleaning_share": parse_cleaning_share(value)},
    "soft-thresholds": lambda value, _base: {"soft_thresholds": parse_soft_thresholds(value)},
    "memory-limit": lambda value, _base: {"memory_limit_bytes": parse_memory_limit(value)},
    "map-memory": lambda value, _base: {"map_memory_bytes": parse_map_memory(value)},
    "log-level": lambda value, _base: {"log_level": parse_log_level(value)},
    "strict-list-identifiers": lambda value, _base: {"strict_list_identifiers": _flag("strict-list-identifiers", value)},
    "chap": lambda value, base: {"chap_users": chap_users_of(value, base)},
    "target-chap": lambda value, base: {"target_chap": target_chap_of(value, base)},
    "chap-discovery": lambda value, _base: {"chap_discovery": _flag("chap-discovery", value)},
    "copy-budget": lambda value, _base: {"copy_budget_s": _seconds("copy-budget", value)},
    "copy-rate": lambda value, _base: {"copy_rate_bytes_per_s": parse_copy_rate(value)},
    "step-aside-copies": lambda value, _base: {"step_aside_copies": _count("step-aside-copies", value)},
    "step-aside-latency": lambda value, _base: {"step_aside_latency_s": _seconds("step-aside-latency", value)},
    "report-token-causes": lambda value, _base: {"report_token_causes": _flag("report-token-causes", value)},
    "accept-zero-token": lambda value, _base: {"accept_zero_token": _flag("accept-zero-token", value)},
    "remote-luns": lambda value, _base: {"remote_luns": _names("remote-luns", value)},
}

_SERVE_KEYS: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "trace": lambda value, base: {"trace": base / _path("trace", value)},
    "pcap": lambda value, base: {"pcap": base / _path("pcap", value)},
    "pcap-snap-length": lambda value, _base: {"pcap_snap_bytes": _snap_bytes("pcap-snap-length", value)},
    "control": lambda value, base: {"control": base / _path("control", value)},
    "metrics": lambda value, _base: {"metrics": parse_metrics_address(_text("metrics", value))},
    "protect": lambda value, _base: {"protections": protect_templates_of(value)},
    "group": lambda value, _base: {"groups": group_templates_of(value)},
    "link-port": lambda value, _base: {"link_port": parse_link_address(_text("link-port", value))},
    "path": lambda value, base: {"paths": path_templates_of(value, base)},
    "clock": lambda value, _base: {"clock": parse_choice(ClockMode, value, "clock: ")},
    "record-commands": lambda value, _base: {"record_commands": _flag("record-commands", value)},
    "record": lambda value, base: {"record": base / _path("record", value)},
    "record-limit": lambda value, _base: {"record_limit_bytes": parse_record_limit(value)},
    "ready-file": lambda value, base: {"ready_file": base / _path("ready-file", value)},
    "http": lambda value, _base: {"http": parse_http_address(_text("http", value))},
    "http-token-file": lambda value, base: {"http_token_file": base / _path("http-token-file", value)},
    "log-format": lambda value, _base: {"log_format": parse_choice(LogFormat, value, "log-format: ")},
}
