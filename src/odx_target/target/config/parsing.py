"""Functions that check and convert the value of one setting.

The value is a text or a number from the command line or a file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from odx_target.copymgr.operations.copy_rate import MAX_COPY_RATE_BYTES_PER_S, MIN_COPY_RATE_BYTES_PER_S
from odx_target.iscsi.host_names import host_name_fault
from odx_target.iscsi.names import MAX_NAME_BYTES, prepare_name
from odx_target.scsi.unit.thresholds import COUNT_OF_THRESHOLDS
from odx_target.store.api import COMPRESSION_ATTRIBUTE, COMPRESSIONS, TIER_ATTRIBUTE, Tier
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import DEFAULT_PORTAL_PORT, LunConfig, Portal
from odx_target.target.server.memory_limits import MAX_MEMORY_BYTES, MIN_MEMORY_BYTES
from odx_target.target.session_file.recording_limits import MAX_RECORDING_BYTES, MIN_RECORDING_BYTES

Choice = TypeVar("Choice", bound=str)

LOGICAL_BLOCK_SIZES = (512, 4096)
MAX_LUN_BYTES = 1 << 50
"""Maximum size of a LUN: 2^41 blocks of 512 bytes. The store and READ CAPACITY(16) have much higher limits."""
MAX_LUNS = 1 << 14
"""Maximum number of LUNs: the flat space addressing method has LUNs of 14 bits (SAM-5 4.7.7.3)."""
MAX_LUN_NAME_CHARACTERS = 64
"""Maximum length of a LUN's name.

Such a name fits into a log line and the pool's catalogue. iSCSI does not limit this length.
"""
MIN_POOL_LIMIT_BYTES = 2 << 20
"""Minimum value of the setting pool-limit: twice the size of the smallest segment."""
MIN_MAP_MEMORY_BYTES = 16 << 20
"""Minimum value of the setting map-memory: with less memory, writes to many places would often wait for a checkpoint."""
MAX_MAP_MEMORY_BYTES = 1 << 40
"""Maximum value of the setting map-memory: more memory than a machine has. This limit detects mistyped sizes."""
NO_COPY_RATE = "none"
MAX_PORT, MAX_PORT_DIGITS = 65535, 5
LOOPBACK = "127.0.0.1"
PERCENT = 100
LOG_LEVELS = ("debug", "info", "warning", "error")

_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_BLOCK_OPTIONS = {f"block={block_bytes}": block_bytes for block_bytes in LOGICAL_BLOCK_SIZES}
_COMPRESSION_OPTIONS = {f"{COMPRESSION_ATTRIBUTE}={compression}": compression for compression in COMPRESSIONS}
_TIER_OPTIONS = {f"{TIER_ATTRIBUTE}={tier}": str(tier) for tier in Tier}
_LUN_OPTIONS: tuple[Mapping[str, int | str], ...] = (_BLOCK_OPTIONS, _COMPRESSION_OPTIONS, _TIER_OPTIONS)
LUN_FORM = "NAME=SIZE[,block=512|4096][,compression=off|lz4|zstd][,tier=fast|capacity]"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IQN = re.compile(
    r"(iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+(:[a-z0-9.:-]+)?|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}|[0-9a-f]{32}))"
)


def parse_size(text: str) -> int:
    """Return the number of bytes for a size such as "512", "64K", "10M", "1G" or "2T". Raises ConfigError."""
    match = re.fullmatch(r"([0-9]{1,19})([KMGTP]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigError(f"size {text!r}: want a number with an optional K, M, G or T, such as 512, 64K, 10M, 1G, 2T")
    return int(match[1]) * _SIZE_UNITS[match[2].upper()]


def parse_pool_limit(value: object) -> int:
    """Convert a pool limit, such as 1073741824 or "1G", to bytes.

    Raises ConfigError if the limit is less than MIN_POOL_LIMIT_BYTES.
    """
    return _parse_limit(value, "pool", "a pool")


def parse_capacity_limit(value: object) -> int:
    """Convert the limit of a capacity tier, such as 1073741824 or "1T", to bytes. Raises ConfigError if it is too small."""
    return _parse_limit(value, "capacity", "a capacity tier")


def _parse_limit(value: object, setting: str, limited: str) -> int:
    limit_bytes = size_of(f"{setting}-limit", value)
    if limit_bytes < MIN_POOL_LIMIT_BYTES:
        raise ConfigError(f"{setting} limit {value!r}: the limit of {limited} is at least {MIN_POOL_LIMIT_BYTES >> 20}M")
    return limit_bytes


def parse_capacity_compression(value: object) -> str:
    """Return the name of a compression. Raises ConfigError if there is no such compression."""
    return parse_choice(COMPRESSIONS, value, "capacity-compression: ")


def parse_choice(choices: Iterable[Choice], value: object, prefix: str = "") -> Choice:
    """Return the choice that equals `value`. Raises ConfigError if there is none. The message begins with `prefix`."""
    known = {str(choice): choice for choice in choices}
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{prefix}want one of {', '.join(known)}, not {str(value)[:40]!r}")
    return known[value]


def parse_cleaning_share(value: object) -> float:
    """Convert a whole number of percent to a fraction of 1. Raises ConfigError if the number is not from 1 to 100."""
    if type(value) is not int or not 0 < value <= PERCENT:
        raise ConfigError(f"cleaning share {str(value)[:40]}: want a whole number of percent from 1 to {PERCENT}")
    return value / PERCENT


def parse_soft_thresholds(value: object) -> tuple[int, ...]:
    """Return the percentages in a list.

    Raises ConfigError if there are too many percentages, or if they are not in ascending order.
    """
    percentages = value if isinstance(value, list) else [None]
    are_percentages = all(type(each) is int and 0 < each < PERCENT for each in percentages)
    if not are_percentages or len(percentages) > COUNT_OF_THRESHOLDS or percentages != sorted(set(percentages)):
        wanted = f"a list of at most {COUNT_OF_THRESHOLDS} ascending numbers from 1 to {PERCENT - 1}"
        raise ConfigError(f"soft-thresholds: want {wanted}, not {str(value)[:40]}")
    return tuple(percentages)


def parse_memory_limit(value: object) -> int:
    """Convert a memory limit, such as 1073741824 or "1G", to bytes. Raises ConfigError if the limit is out of bounds."""
    size_bytes = size_of("memory limit", value)
    if not MIN_MEMORY_BYTES <= size_bytes <= MAX_MEMORY_BYTES:
        least, most = f"{MIN_MEMORY_BYTES >> 20}M", f"{MAX_MEMORY_BYTES >> 40}T"
        raise ConfigError(f"memory limit {str(value)[:40]}: want {least} to {most}")
    return size_bytes


def parse_record_limit(value: object) -> int:
    """Convert the size limit of a recording, such as 1073741824 or "1G", to bytes. Raises ConfigError if it is too small."""
    size_bytes = size_of("record-limit", value)
    if not MIN_RECORDING_BYTES <= size_bytes <= MAX_RECORDING_BYTES:
        least, most = f"{MIN_RECORDING_BYTES >> 10}K", f"{MAX_RECORDING_BYTES >> 40}T"
        raise ConfigError(f"record limit {str(value)[:40]}: want {least} to {most}")
    return size_bytes


def parse_map_memory(value: object) -> int:
    """Convert a value of the setting map-memory, such as 268435456 or "256M", to bytes. Raises ConfigError if it is out of
    bounds.
    """
    size_bytes = size_of("map memory", value)
    if not MIN_MAP_MEMORY_BYTES <= size_bytes <= MAX_MAP_MEMORY_BYTES:
        least, most = f"{MIN_MAP_MEMORY_BYTES >> 20}M", f"{MAX_MAP_MEMORY_BYTES >> 40}T"
        raise ConfigError(f"map memory {str(value)[:40]}: want {least} to {most}")
    return size_bytes


def parse_copy_rate(value: object) -> int | None:
    """Convert a copy rate, such as 67108864 or "64M", to bytes per second. Return None for "none". Raises ConfigError."""
    if value == NO_COPY_RATE:
        return None
    bytes_per_s = size_of("copy rate", value)
    if not MIN_COPY_RATE_BYTES_PER_S <= bytes_per_s <= MAX_COPY_RATE_BYTES_PER_S:
        most = f"{MAX_COPY_RATE_BYTES_PER_S >> 40}T"
        raise ConfigError(
            f"copy rate {str(value)[:40]}: want {MIN_COPY_RATE_BYTES_PER_S >> 10}K to {most} a second, or {NO_COPY_RATE}"
        )
    return bytes_per_s


def lun_config(
    name: str, size_bytes: int, block_bytes: int, compression: str | None = None, tier: str | None = None
) -> LunConfig:
    """Check the values, and return a LunConfig. Raises ConfigError."""
    if not _NAME.fullmatch(name) or len(name) > MAX_LUN_NAME_CHARACTERS:
        raise ConfigError(f"LUN name {name!r}: want letters, digits, '.', '_' or '-', at most {MAX_LUN_NAME_CHARACTERS}")
    if block_bytes not in LOGICAL_BLOCK_SIZES:
        raise ConfigError(f"LUN {name}: block size {block_bytes} is not one of 512, 4096")
    if size_bytes < block_bytes or size_bytes % block_bytes:
        raise ConfigError(f"LUN {name}: size {size_bytes} is not a whole number of {block_bytes}-byte blocks, at least one")
    if size_bytes > MAX_LUN_BYTES:
        raise ConfigError(f"LUN {name}: size {size_bytes} is over the limit of {MAX_LUN_BYTES} bytes")
    if compression is not None and compression not in COMPRESSIONS:
        raise ConfigError(f"LUN {name}: compression {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    if tier is not None and tier not in list(Tier):
        raise ConfigError(f"LUN {name}: tier {tier!r} is not one of {', '.join(Tier)}")
    return LunConfig(name, size_bytes, block_bytes, compression=compression, tier=tier)


def parse_lun(text: str) -> LunConfig:
    """Return the LUN for a text like "NAME=SIZE[,block=512|4096][,compression=off|lz4|zstd][,tier=fast|capacity]".

    Raises ConfigError.
    """
    name, equals, rest = text.partition("=")
    size_text, *options = rest.split(",")
    if not equals or not size_text:
        raise ConfigError(f"LUN {text!r}: want {LUN_FORM}")
    for option in options:
        if not any(option in known for known in _LUN_OPTIONS):
            wanted = " or ".join(each for known in _LUN_OPTIONS for each in known)
            raise ConfigError(f"LUN {text!r}: option {option!r} is not {wanted}")
    blocks, compressions, tiers = ([known[option] for option in options if option in known] for known in _LUN_OPTIONS)
    if max(len(blocks), len(compressions), len(tiers)) > 1:
        raise ConfigError(f"LUN {text!r}: an option is given twice")
    block_bytes = int(blocks[0]) if blocks else 512
    compression = str(compressions[0]) if compressions else None
    return lun_config(name, parse_size(size_text), block_bytes, compression, str(tiers[0]) if tiers else None)


def parse_portal(text: str) -> Portal:
    """Return the portal for a text like "HOST:PORT", "HOST" or "[IPV6]:PORT". Raises ConfigError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]\s]+))(?::([0-9]+))?", text)
    if not match:
        raise ConfigError(f"portal {text!r}: want HOST:PORT, with an IPv6 address in brackets")
    if len(match[3] or "") > MAX_PORT_DIGITS or int(match[3] or 0) > MAX_PORT:
        raise ConfigError(f"portal {text!r}: want a port from 0 to {MAX_PORT}")
    host = match[1] or match[2]
    if fault := host_name_fault(host):
        raise ConfigError(f"portal {text[:80]!r}: {fault}")
    return Portal(host, int(match[3]) if match[3] else DEFAULT_PORTAL_PORT)


def parse_metrics_address(text: str) -> Portal:
    """Return the address for a text like "HOST:PORT", or "PORT" for a port of this machine only. Raises ConfigError."""
    return _parse_address("metrics", text)


def parse_http_address(text: str) -> Portal:
    """Return the address of the HTTP control port, as `parse_metrics_address` does. Raises ConfigError."""
    return _parse_address("http", text)


def parse_link_address(text: str) -> Portal:
    """Return the address at which the array listens to other arrays, as `parse_metrics_address` does. Raises ConfigError."""
    return _parse_address("link-port", text)


def _parse_address(setting: str, text: str) -> Portal:
    if text.isascii() and text.isdecimal():
        return parse_portal(f"{LOOPBACK}:{text}")
    if not re.search(r":[0-9]+$", text):
        raise ConfigError(f"{setting} {text[:80]!r}: want HOST:PORT or PORT")
    return parse_portal(text)


def parse_iqn(text: str) -> str:
    """Return a target name in lower case (RFC 3722 1). Raises ConfigError if the name is not valid (RFC 7143 4.2.7)."""
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
    """Return the LUNs. Raises ConfigError if a LUN name is used twice, or if there are too many LUNs."""
    checked = tuple(luns)
    names = Counter(lun.name for lun in checked)
    for name, count in names.items():
        if count > 1:
            raise ConfigError(f"LUN {name} is named twice")
    if len(checked) > MAX_LUNS:
        raise ConfigError(f"{len(checked)} LUNs are over the limit of {MAX_LUNS}")
    return checked


def size_of(key: str, value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str):
        raise ConfigError(f'{key}: want a number of bytes or a text such as "1G", not {value!r}')
    return parse_size(value)
