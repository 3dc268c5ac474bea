"""The settings of an array: LUNs, portals, name, limits; from the command line, a TOML file, or Python."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from odx_target.copymgr.operations.copy_rate import MAX_COPY_RATE_BYTES_PER_S, MIN_COPY_RATE_BYTES_PER_S
from odx_target.iscsi.host_names import host_name_fault
from odx_target.iscsi.names import MAX_NAME_BYTES, prepare_name
from odx_target.target.config.chap import ChapUser, TargetChap, chap_users_of, target_chap_of
from odx_target.target.config.error import ConfigError as ConfigError
from odx_target.target.config.toml_file import read_table
from odx_target.target.server.memory_budget import DEFAULT_MEMORY_BYTES, MAX_MEMORY_BYTES, MIN_MEMORY_BYTES
from odx_target.target.trace.pcapng import MAX_SNAP_BYTES, MIN_SNAP_BYTES

Part = TypeVar("Part", "Config", "ServeConfig")

DEFAULT_IQN = "iqn.2026-11.io.odx-target:array"
DEFAULT_PORTAL_HOST = "127.0.0.1"
DEFAULT_PORTAL_PORT = 3260  # RFC 7143 4.2.7.1: the port assigned to iSCSI

LOGICAL_BLOCK_SIZES = (512, 4096)
MAX_LUN_BYTES = 1 << 50  # 1 PiB: 2^41 blocks of 512 bytes, far below the limits of the map and of READ CAPACITY(16)
MAX_LUNS = 256  # the peripheral device addressing method has LUNs 0 to 255 in one byte (SAM-5 4.7.7.2)
MAX_LUN_NAME_CHARACTERS = 64  # short enough for a log line and the pool's catalogue; iSCSI limits only target names
MIN_POOL_LIMIT_BYTES = 2 << 20  # the size of two of the smallest segments
NO_COPY_RATE = "none"
MAX_PORT, MAX_PORT_DIGITS = 65535, 5
LOG_LEVELS = ("debug", "info", "warning", "error")

_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_BLOCK_OPTIONS = {f"block={block_bytes}": block_bytes for block_bytes in LOGICAL_BLOCK_SIZES}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IQN = re.compile(
    r"(iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+(:[a-z0-9.:-]+)?|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}|[0-9a-f]{32}))"
)


@dataclass(frozen=True, slots=True)
class LunConfig:
    """A LUN in the pool, which is created if it does not exist yet."""

    name: str
    size_bytes: int
    block_bytes: int = 512
    grows: bool = True
    """True if an existing LUN that is smaller grows to `size_bytes`. False keeps its size, as `serve --lun` does."""


@dataclass(frozen=True, slots=True)
class Portal:
    """An address to listen on; port 0 picks a free one."""

    host: str = DEFAULT_PORTAL_HOST
    port: int = DEFAULT_PORTAL_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of an array.

    If `pool_dir` is None, the pool is in memory. `pool_limit_bytes` limits the size of the log; if it is None, only the disk
    limits it.
    """

    pool_dir: Path | None = None
    luns: tuple[LunConfig, ...] = ()
    portals: tuple[Portal, ...] = (Portal(),)
    iqn: str = DEFAULT_IQN
    pool_limit_bytes: int | None = None
    memory_limit_bytes: int = DEFAULT_MEMORY_BYTES
    """The memory that all sessions together may use, in addition to the memory that the array itself needs."""
    log_level: str = "info"
    strict_list_identifiers: bool = False
    """True if only the nexus that sent a token command can fetch its result. If False, other sessions of the same initiator can
    fetch the result too, which multipath hosts need."""
    copy_budget_s: float | None = None
    """The time after which a WRITE USING TOKEN ends with a partial result; None for the default of the copy manager."""
    copy_rate_bytes_per_s: int | None = None
    """The maximum rate of all copies by token together; None for no limit."""
    report_token_causes: bool = True
    """True if the sense data reports why a token is invalid. If False, it only reports that the token is invalid."""
    accept_zero_token: bool = True
    remote_luns: tuple[str, ...] = ()
    """Names of LUNs that count as LUNs of another copy manager: tokens can be written to them, but not made from them."""
    chap_users: tuple[ChapUser, ...] = ()
    """The users that initiators must log in as. If there are none, every initiator may log in."""
    target_chap: TargetChap | None = None
    chap_discovery: bool = True
    """True if discovery sessions must log in with CHAP too."""


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The settings of `serve` itself: its trace, its capture, and the control socket."""

    trace: Path | None = None
    pcap: Path | None = None
    pcap_snap_bytes: int = MAX_SNAP_BYTES
    control: Path | None = None
    """The path of the control socket; None for a socket in the directory of the pool."""


def parse_size(text: str) -> int:
    """Return the number of bytes for a size such as "512", "64K", "10M", "1G" or "2T". Raises ConfigError."""
    match = re.fullmatch(r"([0-9]{1,19})([KMGTP]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigError(f"size {text!r}: want a number with an optional K, M, G or T, such as 512, 64K, 10M, 1G, 2T")
    return int(match[1]) * _SIZE_UNITS[match[2].upper()]


def parse_pool_limit(value: object) -> int:
    """Return the number of bytes for a number or a size. Raises ConfigError if this is less than the smallest pool needs."""
    limit_bytes = _size("pool-limit", value)
    if limit_bytes < MIN_POOL_LIMIT_BYTES:
        raise ConfigError(f"pool limit {value!r}: the limit of a pool is at least {MIN_POOL_LIMIT_BYTES >> 20}M")
    return limit_bytes


def parse_memory_limit(value: object) -> int:
    """Return the number of bytes for a number or a size. Raises ConfigError if it is out of bounds."""
    size_bytes = _size("memory limit", value)
    if not MIN_MEMORY_BYTES <= size_bytes <= MAX_MEMORY_BYTES:
        least, most = f"{MIN_MEMORY_BYTES >> 20}M", f"{MAX_MEMORY_BYTES >> 40}T"
        raise ConfigError(f"memory limit {str(value)[:40]}: want {least} to {most}")
    return size_bytes


def parse_copy_rate(value: object) -> int | None:
    """Return the bytes per second for a number or a size; None for "none". Raises ConfigError."""
    if value == NO_COPY_RATE:
        return None
    bytes_per_s = _size("copy rate", value)
    if not MIN_COPY_RATE_BYTES_PER_S <= bytes_per_s <= MAX_COPY_RATE_BYTES_PER_S:
        most = f"{MAX_COPY_RATE_BYTES_PER_S >> 40}T"
        raise ConfigError(
            f"copy rate {str(value)[:40]}: want {MIN_COPY_RATE_BYTES_PER_S >> 10}K to {most} a second, or {NO_COPY_RATE}"
        )
    return bytes_per_s


def lun_config(name: str, size_bytes: int, block_bytes: int) -> LunConfig:
    """Return a checked LunConfig. Raises ConfigError."""
    if not _NAME.fullmatch(name) or len(name) > MAX_LUN_NAME_CHARACTERS:
        raise ConfigError(f"LUN name {name!r}: want letters, digits, '.', '_' or '-', at most {MAX_LUN_NAME_CHARACTERS}")
    if block_bytes not in LOGICAL_BLOCK_SIZES:
        raise ConfigError(f"LUN {name}: block size {block_bytes} is not one of 512, 4096")
    if size_bytes < block_bytes or size_bytes % block_bytes:
        raise ConfigError(f"LUN {name}: size {size_bytes} is not a whole number of {block_bytes}-byte blocks, at least one")
    if size_bytes > MAX_LUN_BYTES:
        raise ConfigError(f"LUN {name}: size {size_bytes} is over the limit of {MAX_LUN_BYTES} bytes")
    return LunConfig(name, size_bytes, block_bytes)


def parse_lun(text: str) -> LunConfig:
    """Return a LUN from "NAME=SIZE[,block=512|4096]". Raises ConfigError."""
    name, equals, rest = text.partition("=")
    size_text, *options = rest.split(",")
    if not equals or not size_text:
        raise ConfigError(f"LUN {text!r}: want NAME=SIZE[,block=512|4096]")
    if len(options) > 1:
        raise ConfigError(f"LUN {text!r}: more than one option; block=512 or block=4096 is all there is")
    if options and options[0] not in _BLOCK_OPTIONS:
        raise ConfigError(f"LUN {text!r}: option {options[0]!r} is not block=512 or block=4096")
    return lun_config(name, parse_size(size_text), _BLOCK_OPTIONS[options[0]] if options else 512)


def parse_portal(text: str) -> Portal:
    """Return a portal from "HOST:PORT", "HOST" or "[IPV6]:PORT". Raises ConfigError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]\s]+))(?::([0-9]+))?", text)
    if not match:
        raise ConfigError(f"portal {text!r}: want HOST:PORT, with an IPv6 address in brackets")
    if len(match[3] or "") > MAX_PORT_DIGITS or int(match[3] or 0) > MAX_PORT:
        raise ConfigError(f"portal {text!r}: want a port from 0 to {MAX_PORT}")
    host = match[1] or match[2]
    if fault := host_name_fault(host):
        raise ConfigError(f"portal {text[:80]!r}: {fault}")
    return Portal(host, int(match[3]) if match[3] else DEFAULT_PORTAL_PORT)


def parse_iqn(text: str) -> str:
    """Return a valid target name (RFC 7143 4.2.7) in lower case (RFC 3722 1). Raises ConfigError."""
    name = prepare_name(text)
    if not _IQN.fullmatch(name) or len(name) > MAX_NAME_BYTES:
        raise ConfigError(f"target name {text!r}: want iqn.YYYY-MM.reversed.domain[:name], eui. or naa.")
    return name


def parse_log_level(value: Any) -> str:
    """Check that a value is one of LOG_LEVELS. Raises ConfigError."""
    if value not in LOG_LEVELS:
        raise ConfigError(f"log level {value!r} is not one of {', '.join(LOG_LEVELS)}")
    return str(value)


def check_luns(luns: Iterable[LunConfig]) -> tuple[LunConfig, ...]:
    """Check that no LUN name is used twice, and that there are not too many LUNs. Raises ConfigError."""
    checked = tuple(luns)
    names = [lun.name for lun in checked]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"LUN {name} is named twice")
    if len(checked) > MAX_LUNS:
        raise ConfigError(f"{len(checked)} LUNs are over the limit of {MAX_LUNS}")
    return checked


def load_config(path: Path) -> Config:
    """Return the settings of the array in a TOML file. docs/configuration.md lists the keys. Raises ConfigError."""
    return _load(path, Config(), _KEYS)


def load_serve_config(path: Path) -> ServeConfig:
    """Return the settings of `serve` itself in a TOML file. Raises ConfigError."""
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


def _size(key: str, value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str):
        raise ConfigError(f'{key}: want a number of bytes or a text such as "1G", not {value!r}')
    return parse_size(value)


def _luns(value: Any) -> tuple[LunConfig, ...]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("lun: want tables [[lun]] with name, size and optionally block")
    return check_luns(_lun(row) for row in value)


def _lun(row: Mapping[str, Any]) -> LunConfig:
    unknown = set(row) - {"name", "size", "block"}
    if unknown or not {"name", "size"} <= set(row):
        raise ConfigError(f"lun: want name, size and optionally block, not {', '.join(sorted(row)) or 'nothing'}")
    block = row.get("block", 512)
    if type(block) is not int:
        raise ConfigError(f"lun: block {block!r} is not 512 or 4096")
    return lun_config(_text("lun name", row["name"]), _size("lun size", row["size"]), block)


def _portals(value: Any) -> tuple[Portal, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise ConfigError('portal: want "HOST:PORT" or a list of them')
    return tuple(parse_portal(_text("portal", text)) for text in texts)


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


Keys = Mapping[str, Callable[[Any, Path], dict[str, Any]]]
"""For each key of a table: a function that makes settings from its value and the folder of the file."""

_KEYS: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "pool": lambda value, base: {"pool_dir": base / _path("pool", value)},
    "lun": lambda value, _base: {"luns": _luns(value)},
    "portal": lambda value, _base: {"portals": _portals(value)},
    "iqn": lambda value, _base: {"iqn": parse_iqn(_text("iqn", value))},
    "pool-limit": lambda value, _base: {"pool_limit_bytes": parse_pool_limit(value)},
    "memory-limit": lambda value, _base: {"memory_limit_bytes": parse_memory_limit(value)},
    "log-level": lambda value, _base: {"log_level": parse_log_level(value)},
    "strict-list-identifiers": lambda value, _base: {"strict_list_identifiers": _flag("strict-list-identifiers", value)},
    "chap": lambda value, base: {"chap_users": chap_users_of(value, base)},
    "target-chap": lambda value, base: {"target_chap": target_chap_of(value, base)},
    "chap-discovery": lambda value, _base: {"chap_discovery": _flag("chap-discovery", value)},
    "copy-budget": lambda value, _base: {"copy_budget_s": _seconds("copy-budget", value)},
    "copy-rate": lambda value, _base: {"copy_rate_bytes_per_s": parse_copy_rate(value)},
    "report-token-causes": lambda value, _base: {"report_token_causes": _flag("report-token-causes", value)},
    "accept-zero-token": lambda value, _base: {"accept_zero_token": _flag("accept-zero-token", value)},
    "remote-luns": lambda value, _base: {"remote_luns": _names("remote-luns", value)},
}

_SERVE_KEYS: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "trace": lambda value, base: {"trace": base / _path("trace", value)},
    "pcap": lambda value, base: {"pcap": base / _path("pcap", value)},
    "pcap-snap-length": lambda value, _base: {"pcap_snap_bytes": _snap_bytes("pcap-snap-length", value)},
    "control": lambda value, base: {"control": base / _path("control", value)},
}
