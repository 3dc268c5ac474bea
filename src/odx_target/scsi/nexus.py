"""An I_T nexus: one initiator port as one target port sees it (SAM-5 4.8)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odx_target.scsi.logical_unit import LogicalUnit


@dataclass(slots=True, eq=False)
class Nexus:
    """The relation of an initiator port and a target port; for iSCSI, a session.

    `logical_units` is this nexus' own view: LUN (as a plain number) -> logical unit. Compared by identity: a session that
    is reinstated is a new nexus.
    """

    initiator_name: str
    initiator_port_name: str
    target_port_name: str
    logical_units: Mapping[int, "LogicalUnit"]
    unit_attentions: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By LUN, the (ASC, ASCQ) pairs still to be told, oldest first; a LUN without any has no entry."""
