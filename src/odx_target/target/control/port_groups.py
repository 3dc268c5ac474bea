"""The operations on target port groups: show their states, change a state, and change which groups are preferred."""

from typing import TYPE_CHECKING

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import PortGroup, PortGroups, StatusCode
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.error import ConfigError
from odx_target.target.config.port_group_settings import MAX_TRANSITION_TIME_S, access_state_of, words_of
from odx_target.target.config.target_settings import port_group_number_of
from odx_target.target.control import answers, arguments
from odx_target.target.control.arguments import Argument
from odx_target.target.control.describe import rows_in_turns
from odx_target.target.control.operation import Operation

if TYPE_CHECKING:
    from odx_target.target.array import Array

MAX_LUNS_SHOWN = 100
"""Maximum number of LUNs that a response lists for a group, so that a response stays short."""

MAX_NUMBER_DIGITS = 10
"""Maximum number of digits of the number of a group in a text. A number has five, and Python refuses to convert thousands."""

STATUS_WORDS = {
    StatusCode.NONE: "none",
    StatusCode.CHANGED_EXPLICITLY: "explicit",
    StatusCode.CHANGED_IMPLICITLY: "implicit",
}


async def _port_groups(array: "Array") -> answers.PortGroups:
    """List the target port groups."""
    groups = array.port_group_states.port_groups
    return {
        "asymmetric_access": words_of(groups.modes),
        "transition_time_s": groups.transition_time_s,
        "port_groups": [await _describe(array, group) for group in groups.groups],
    }


async def _set_port_group(
    array: "Array", number: int, state: AccessState, lun: str | None, time_s: float | None, *, fails: bool
) -> answers.PortGroup:
    """Change the state of a target port group."""
    units = None if lun is None else [array.logical_unit_named(lun)]
    await array.port_group_states.change({number: state}, units, time_s=time_s, fails=fails)
    return await _group(array, number)


async def _prefer_port_group(array: "Array", number: int, *, preferred: bool) -> answers.PortGroup:
    """Make a target port group preferred, or not preferred any more."""
    await array.port_group_states.prefer({number: preferred})
    return await _group(array, number)


async def _group(array: "Array", number: int) -> answers.PortGroup:
    group = array.port_group_states.port_groups.find(number)
    assert group is not None, "the change has found the group"
    return await _describe(array, group)


async def _describe(array: "Array", group: PortGroup) -> answers.PortGroup:
    """Describe a group with its ports, and with the LUNs whose state differs from the state that new LUNs get."""
    ports = [port for target in array.targets for port in target.ports.values() if port.target_port_group == group.number]
    usual = group.state, group.status_code
    known: dict[PortGroups, PortGroup] = {}

    def row(unit: LogicalUnit) -> answers.LunState | None:
        if unit.port_groups not in known:
            known[unit.port_groups] = unit.port_groups.find(group.number) or group
        found = known[unit.port_groups]
        if (found.state, found.status_code) == usual:
            return None
        return {"lun": unit.number, "name": unit.volume.name, "state": found.state.words, "status": _status(found)}

    units = [unit for _, unit in sorted(array.logical_units.items())]
    luns = await rows_in_turns(array.environment.turns, units, row)
    return {
        "number": group.number,
        "state": group.state.words,
        "status": _status(group),
        "preferred": group.is_preferred,
        "ports": [{"relative_target_port": port.relative_target_port, "name": port.name} for port in ports],
        "luns": luns[:MAX_LUNS_SHOWN],
        "luns_not_listed": max(0, len(luns) - MAX_LUNS_SHOWN),
    }


def _status(group: PortGroup) -> str:
    return STATUS_WORDS[group.status_code]


def _time_s(value: object) -> float:
    """Check a number of seconds, or a text with such a number. Raises ConfigError."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):  # OverflowError: a number with hundreds of digits
        seconds = -1.0
    if not 0 <= seconds <= MAX_TRANSITION_TIME_S:
        raise ConfigError(f"time_s: want seconds from 0 to {MAX_TRANSITION_TIME_S}, not {str(value)[:40]!r}")
    return seconds


def _number(value: object) -> int:
    """Check the number of a group, or a text with such a number. Raises ConfigError."""
    is_number = isinstance(value, str) and len(value) <= MAX_NUMBER_DIGITS and value.isascii() and value.isdecimal()
    return port_group_number_of(int(str(value)) if is_number else value)


NUMBER = Argument("number", "of the target port group", _number)

PORT_GROUP_OPERATIONS = (
    Operation("port-groups", _port_groups),
    Operation(
        "set-port-group",
        _set_port_group,
        (
            NUMBER,
            Argument("state", ", ".join(state.words for state in AccessState), access_state_of),
            Argument("lun", "the name of the LUN, or null for all LUNs", arguments.text, None),
            Argument("time_s", "seconds of the transition, or null for the configured time", _time_s, None),
            Argument("fails", "true if the group gets its former state back", arguments.flag, False),
        ),
        is_recorded=True,
    ),
    Operation(
        "prefer-port-group",
        _prefer_port_group,
        (NUMBER, Argument("preferred", "false if the group is not preferred any more", arguments.flag, True)),
        is_recorded=True,
    ),
)
"""The operations on target port groups."""
