"""A logical unit with two target port groups and a nexus through each of them. CDBs and lists are built without the code under
test.
"""

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.changes import PortGroupChanges, StateChange
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroup, PortGroups
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import TargetPort
from tests.scsi.array import TARGET_NAME, UnitUnderTest, data_of

OPTIMIZED, NON_OPTIMIZED, STANDBY, UNAVAILABLE, TRANSITIONING = 0x0, 0x1, 0x2, 0x3, 0xF
STATE_CHANGED, TRANSITION_FAILED = (0x2A, 0x06), (0x2A, 0x07)
FIRST, SECOND = 1, 2


class PortGroupsUnderTest(UnitUnderTest):
    """Group 1 has the ports 1 and 3, and group 2 has port 2. `nexuses` has a nexus for each group."""

    def __init__(self, modes: AccessModes = AccessModes.BOTH, transition_time_s: int = 0) -> None:
        super().__init__()
        groups = (PortGroup(FIRST, (1, 3), is_preferred=True), PortGroup(SECOND, (2,)))
        self.logical_unit.port_groups = PortGroups(modes, groups, transition_time_s)
        self.nexuses = {FIRST: self.nexus, SECOND: self.nexus_at(SECOND)}
        self.changes = PortGroupChanges(self.server)

    def nexus_at(self, group: int) -> Nexus:
        port = TargetPort(TARGET_NAME, f"{TARGET_NAME},t,0x{group:04x}", group, group)
        nexus = Nexus("iqn.host", "iqn.host,i,0x1", port, {0: self.logical_unit})
        self.server.attach(nexus)
        nexus.unit_attentions.clear()
        return nexus

    def set_states(self, *states: tuple[int, int], group: int = FIRST) -> Reply:
        """Send SET TARGET PORT GROUPS with pairs of a state and a group, through a port of `group`."""
        data = set_list(*states)
        return self.command(set_cdb(len(data)), data, nexus=self.nexuses[group])

    def change(self, group: int, state: int, time_s: float = 0, *, fails: bool = False) -> None:
        """Change a state implicitly."""
        self.changes.change(self.logical_unit, StateChange({group: AccessState(state)}, time_s, fails=fails))

    def reported(self, group: int = FIRST) -> dict[int, tuple[int, int]]:
        """Return the states and the status codes that REPORT TARGET PORT GROUPS shows, by the numbers of the groups."""
        data = data_of(self.command(report_cdb(), nexus=self.nexuses[group]))
        found, at = {}, 4
        while at < len(data):
            found[int.from_bytes(data[at + 2 : at + 4], "big")] = data[at] & 0xF, data[at + 5]
            at += 8 + 4 * data[at + 7]
        return found

    def states(self) -> dict[int, int]:
        return {number: state for number, (state, _) in self.reported().items()}


def report_cdb(allocation_bytes: int = 4096, data_format: int = 0) -> bytes:
    return bytes((0xA3, 0x0A | data_format << 5, 0, 0, 0, 0)) + allocation_bytes.to_bytes(4, "big") + bytes(2)


def set_cdb(length: int) -> bytes:
    return bytes((0xA4, 0x0A, 0, 0, 0, 0)) + length.to_bytes(4, "big") + bytes(2)


def set_list(*states: tuple[int, int]) -> bytes:
    return bytes(4) + b"".join(bytes((state, 0)) + group.to_bytes(2, "big") for state, group in states)
