"""The operations on paths to other arrays: list them, add one by a pairing, and remove one."""

import re
from typing import TYPE_CHECKING

from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.throttle import DAY_MINUTES, Rates
from odx_target.replica.paths.settings import Address, Right
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_portal
from odx_target.target.control import arguments, path_answers
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation

if TYPE_CHECKING:
    from odx_target.replica.pairing.desk import WaitingPath
    from odx_target.replica.paths.path import Path
    from odx_target.target.array import Array
    from odx_target.target.peers.peering import Peering

MAX_PATH_NAME_CHARACTERS = 64
"""Maximum length of the name of a path. Names appear in tables and log lines."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_PATH_NAME_CHARACTERS - 1}}}")
_HOURS = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")


async def _paths(array: "Array") -> path_answers.Paths:
    peering = _peering(array)
    assert peering.listening is not None
    now_s = array.environment.monotonic()
    return {
        "link_port": str(peering.listening.address),
        "pool": peering.identity.pool.hex(),
        "paths": [_describe(path) for _, path in sorted(peering.paths.items())],
        "waiting": [_describe_waiting(each, now_s) for each in peering.desk.waiting() if each.name not in peering.paths],
    }


async def _add_path(
    array: "Array",
    name: str,
    key: str,
    address: Address | None,
    rights: frozenset[Right],
    off_peak: int | None,
    peak: int | None,
    peak_hours: tuple[int, int] | None,
) -> path_answers.WaitingPath:
    try:
        rates = Rates(off_peak, peak, peak_hours)
    except ValueError as error:
        raise ManagementError(str(error), is_usage=True) from error
    if (peak is None) != (peak_hours is None):
        raise ManagementError("peak hours and their rate need each other", is_usage=True)
    try:
        waiting = await _peering(array).add(name, key, address, rights, rates)
    except LinkError as error:
        raise ManagementError(str(error)) from error
    return _describe_waiting(waiting, array.environment.monotonic())


async def _remove_path(array: "Array", name: str) -> path_answers.RemovedPath:
    try:
        await _peering(array).remove(name)
    except LinkError as error:
        raise ManagementError(str(error)) from error
    return {"name": name}


def _peering(array: "Array") -> "Peering":
    if array.peering is None:
        raise ManagementError("the array has no link port; start it with --link-port HOST:PORT")
    return array.peering


def _describe(path: "Path") -> path_answers.ListedPath:
    settings, status = path.settings, path.status
    return {
        **_values(settings.name, settings.address, settings.rights, settings.rates),
        "peer_pool": settings.peer_pool.hex(),
        "state": status.state.value,
        "reason": status.reason,
        "since": status.since_s,
        "sent_bytes": status.sent_bytes,
        "received_bytes": status.received_bytes,
    }


def _describe_waiting(waiting: "WaitingPath", now_s: float) -> path_answers.WaitingPath:
    return {
        **_values(waiting.name, waiting.address, waiting.rights, waiting.rates),
        "remaining_s": round(max(0.0, waiting.ends_at_s - now_s)),
        "attempts": waiting.attempts,
        "reason": waiting.reason,
    }


def _values(name: str, address: Address | None, rights: frozenset[Right], rates: Rates) -> path_answers.PathValues:
    hours = None
    if rates.peak_hours is not None:
        hours = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in rates.peak_hours)
    return {
        "name": name,
        "address": None if address is None else str(address),
        "rights": sorted(right.value for right in rights),
        "throttle_bytes_per_s": rates.off_peak,
        "peak_bytes_per_s": rates.peak,
        "peak_hours": hours,
    }


def parse_path_name(value: object) -> str:
    """Check the name of a path. Raises ConfigError."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
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


def parse_peak_hours(value: object) -> tuple[int, int] | None:
    """Convert "HH:MM-HH:MM" in UTC to two minutes of the day. Raises ConfigError."""
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(f"peak_hours: want HH:MM-HH:MM in UTC, not {str(value)[:80]!r}")
    first, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if max(first, end) >= DAY_MINUTES or first == end:
        raise ConfigError("peak_hours: want two different times from 00:00 to 23:59")
    return first, end


def _rate(value: object) -> int | None:
    return arguments.rate(value)


_PATH_NAME = Argument("name", "the name of the path", parse_path_name)

PATH_OPERATIONS = (
    Operation("paths", _paths),
    Operation(
        "add-path",
        _add_path,
        (
            _PATH_NAME,
            Argument("key", "the path key, the same at both arrays", arguments.text),
            Argument("address", "HOST:PORT of the peer's link port, or null if the peer dials", parse_peer, None),
            Argument("rights", "a list of " + ", ".join(Right), parse_rights, frozenset(Right)),
            Argument("off_peak", "bytes per second, a text such as 64M, or null for no limit", _rate, None),
            Argument("peak", "bytes per second in peak hours, or null for no limit", _rate, None),
            Argument("peak_hours", "HH:MM-HH:MM in UTC, or null", parse_peak_hours, None),
        ),
    ),
    Operation("remove-path", _remove_path, (_PATH_NAME,)),
)
"""The operations on paths."""
