"""The answer to SendTargets (RFC 7143 appendix C)."""

from dataclasses import dataclass

from odx_target.iscsi.pdu.text import Pairs


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """A target in the answer to SendTargets. The addresses have the form "HOST:PORT,TAG", as in the answer."""

    name: str
    addresses: tuple[str, ...]


def targets_of(pairs: Pairs) -> list[DiscoveredTarget]:
    """Return the targets in the order of the answer. Each address belongs to the target name before it."""
    found: list[tuple[str, list[str]]] = []
    for key, value in pairs:
        if key == "TargetName":
            found.append((value, []))
        elif key == "TargetAddress" and found:
            found[-1][1].append(value)
    return [DiscoveredTarget(name, tuple(addresses)) for name, addresses in found]
