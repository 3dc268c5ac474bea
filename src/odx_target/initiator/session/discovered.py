"""The answer to SendTargets (RFC 7143 appendix C)."""

from dataclasses import dataclass

from odx_target.initiator.errors import BadAnswer
from odx_target.iscsi.names import check_name
from odx_target.iscsi.pdu.text import Pairs

MAX_SHOWN = 80
"""Number of characters of a wrong text that a message shows."""


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """A target in the answer to SendTargets. The addresses have the form "HOST:PORT,TAG", as in the answer."""

    name: str
    addresses: tuple[str, ...]


def targets_of(pairs: Pairs) -> list[DiscoveredTarget]:
    """Return the targets in the order of the answer. Each address belongs to the target name before it.

    Raises BadAnswer for a name that is no iSCSI name, and for a value that cannot be printed. Such a text could have another
    meaning where a program shows or stores it.
    """
    found: list[tuple[str, list[str]]] = []
    for key, value in pairs:
        if not value.isprintable():
            raise BadAnswer(f"discovery: {key} {value[:MAX_SHOWN]!a} has characters that cannot be printed")
        if key == "TargetName":
            _check(value)
            found.append((value, []))
        elif key == "TargetAddress" and found:
            found[-1][1].append(value)
    return [DiscoveredTarget(name, tuple(addresses)) for name, addresses in found]


def _check(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise BadAnswer(f"discovery: the target name {error}") from error
