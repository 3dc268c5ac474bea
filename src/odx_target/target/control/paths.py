"""The operations on paths to other arrays: list them, add one by a pairing, change one, and remove one."""

from typing import TYPE_CHECKING

from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.settings import Address, CompressionChoice, Right
from odx_target.target.config.error import ConfigError
from odx_target.target.config.path_settings import (
    parse_compression,
    parse_path_name,
    parse_peak_hours,
    parse_peer,
    parse_rights,
    rates_of,
)
from odx_target.target.control import arguments, path_answers
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation

if TYPE_CHECKING:
    from odx_target.replica.pairing.desk import WaitingPath
    from odx_target.replica.paths.path import Path
    from odx_target.target.array import Array
    from odx_target.target.peers.peering import Peering


async def _paths(array: "Array") -> path_answers.Paths:
    peering = peering_of(array)
    assert peering.listening is not None
    now_s = array.environment.monotonic()
    return {
        "link_port": str(peering.listening.address),
        "pool": peering.identity.pool.hex(),
        "paths": [_describe(path, peering) for _, path in sorted(peering.paths.items())],
        "pairing": [str(place) for place in peering.pairing_places],
        "waiting": [_describe_waiting(each, now_s) for each in peering.desk.waiting() if not each.is_paired],
        "unpaired": [{"name": name, "reason": reason} for name, reason in peering.desk.unpaired().items()],
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
    rates = _rates(off_peak, peak, peak_hours)
    waiting = await peering_of(array).add(name, key, address, rights, rates)
    return _describe_waiting(waiting, array.environment.monotonic())


async def _rekey_path(array: "Array", name: str, key: str) -> path_answers.WaitingPath:
    waiting = await peering_of(array).rekey(name, key)
    return _describe_waiting(waiting, array.environment.monotonic())


async def _throttle_path(
    array: "Array", name: str, off_peak: int | None, peak: int | None, peak_hours: tuple[int, int] | None
) -> path_answers.ListedPath:
    return await _change_path(array, name, rates=_rates(off_peak, peak, peak_hours))


async def _compress_path(array: "Array", name: str, compression: CompressionChoice) -> path_answers.ListedPath:
    return await _change_path(array, name, compression=compression)


async def _set_rights(array: "Array", name: str, rights: frozenset[Right]) -> path_answers.ListedPath:
    return await _change_path(array, name, rights=rights)


async def _change_path(array: "Array", name: str, **changes: object) -> path_answers.ListedPath:
    peering = peering_of(array)
    return _describe(await peering.change(name, **changes), peering)


def _rates(off_peak: int | None, peak: int | None, peak_hours: tuple[int, int] | None) -> Rates:
    """Return the rates of a throttle. Raises ManagementError."""
    try:
        return rates_of(off_peak, peak, peak_hours)
    except ConfigError as error:
        raise ManagementError(str(error), is_usage=True) from error


async def _remove_path(array: "Array", name: str) -> path_answers.RemovedPath:
    await peering_of(array).remove(name)
    return {"name": name}


def peering_of(array: "Array") -> "Peering":
    """Return the paths of an array. Raises ManagementError if the array has no link port."""
    if array.peering is None:
        raise ManagementError("the array has no link port; start it with --link-port HOST:PORT")
    return array.peering


def _describe(path: "Path", peering: "Peering") -> path_answers.ListedPath:
    settings, status, redeemer = path.settings, path.status, peering.redeemer
    return {
        **_values(settings.name, settings.address, settings.rights, settings.rates),
        "compression": settings.compression.value,
        "peer_pool": settings.peer_pool.hex(),
        "state": status.state.value,
        "reason": status.reason,
        "since": status.since_s,
        "sent_bytes": status.sent_bytes,
        "received_bytes": status.received_bytes,
        "redeemed_bytes": 0 if redeemer is None else redeemer.logical_bytes[settings.name],
        "redeemed_link_bytes": 0 if redeemer is None else redeemer.link_bytes(settings.name),
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


_RATE = arguments.optional(arguments.rate)
_RATES = (
    Argument("off_peak", "bytes per second, a text such as 64M, or null for no limit", _RATE, None),
    Argument("peak", "bytes per second in peak hours, or null for no limit", _RATE, None),
    Argument("peak_hours", "HH:MM-HH:MM in UTC, or null", arguments.optional(parse_peak_hours), None),
)
_COMPRESSIONS = "one of " + ", ".join(CompressionChoice)
_RIGHTS = "a list of " + ", ".join(Right)
_KEY = Argument("key", "the path key, the same at both arrays", arguments.text)
_PATH_NAME = Argument("name", "the name of the path", parse_path_name)

PATH_OPERATIONS = (
    Operation("paths", _paths),
    Operation(
        "add-path",
        _add_path,
        (
            _PATH_NAME,
            _KEY,
            Argument("address", "HOST:PORT of the peer's link port, or null if the peer dials", parse_peer, None),
            Argument("rights", _RIGHTS, parse_rights, frozenset(Right)),
            *_RATES,
        ),
    ),
    Operation("rekey-path", _rekey_path, (_PATH_NAME, _KEY)),
    Operation("throttle-path", _throttle_path, (_PATH_NAME, *_RATES)),
    Operation("compress-path", _compress_path, (_PATH_NAME, Argument("compression", _COMPRESSIONS, parse_compression))),
    Operation("set-path-rights", _set_rights, (_PATH_NAME, Argument("rights", _RIGHTS, parse_rights))),
    Operation("remove-path", _remove_path, (_PATH_NAME,)),
)
"""The operations on paths."""
