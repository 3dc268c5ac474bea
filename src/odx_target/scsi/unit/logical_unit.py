"""Logical units. A logical unit presents a volume to initiators."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from odx_target.environment import Environment
from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.port_groups import NO_ASYMMETRIC_ACCESS, AccessModes, PendingState, PortGroups
from odx_target.scsi.limits import SMALL_READ_BYTES, BlockLimits
from odx_target.scsi.pages.mode import ModeParameters
from odx_target.scsi.reservations.holders import NO_RESERVATIONS, Reservations
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.tasks.member import TaskNexus
from odx_target.scsi.tasks.task_set import TaskSet
from odx_target.scsi.unit.addressed_unit import AddressedUnit
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.scsi.unit.thresholds import NO_THRESHOLDS, ArmedThresholds, Threshold, descriptor_offset
from odx_target.scsi.unit.unit_personality import USUAL, UnitPersonality
from odx_target.store.api import BLOCK_BYTES, Pool, Volume

VpdPageBuilder: TypeAlias = "Callable[[LogicalUnit, TargetPort], bytes]"
"""Function that builds a VPD page of a logical unit. The target port is the one that received the command."""

LogParameters = list[tuple[int, bytes]]
"""Codes and values of the parameters of a log page, by ascending code."""

LOGICAL_BLOCK_BYTES = (512, 4096)

# A name in NAA format 6h begins with 24 bits that identify a company. These 24 bits are "ROD" in ASCII. The locally
# administered bit is set in them, so they can never be assigned to a company.
LOCALLY_ADMINISTERED_COMPANY_ID = bytes.fromhex("524f44")


class HostTimestamp(NamedTuple):
    """A timestamp that a host has set: milliseconds since 1970, and the monotonic time at which it was set."""

    milliseconds: int
    set_at_s: float


class LogicalUnit(AddressedUnit):
    """A volume that initiators address by a LUN.

    `number` is the LUN by default; a nexus may use another LUN for this logical unit. `block_bytes` is the logical block
    length, 512 or 4096. `capacity_blocks` is the capacity in logical blocks, at most the size of the volume. Raises ValueError
    if `block_bytes` is neither 512 nor 4096, or if the capacity is larger than the volume.
    """

    is_present = True

    def __init__(
        self,
        *,
        number: int,
        volume: Volume,
        block_bytes: int,
        capacity_blocks: int,
        pool: Pool,
        environment: Environment,
        write_protected: bool = False,
        write_cache_enabled: bool = True,
        descriptor_format_sense: bool = False,
        thresholds: tuple[Threshold, ...] = NO_THRESHOLDS,
    ) -> None:
        if block_bytes not in LOGICAL_BLOCK_BYTES:
            raise ValueError(f"a logical block has 512 or 4096 bytes, not {block_bytes}")
        if not 0 < capacity_blocks * block_bytes <= volume.size_blocks * BLOCK_BYTES:
            raise ValueError(f"{capacity_blocks} blocks of {block_bytes} bytes do not fit the volume {volume.name}")
        super().__init__(TaskSet(environment.event, BLOCK_BYTES // block_bytes, environment))
        self.number = number
        self.volume = volume
        self.block_bytes = block_bytes
        self.capacity_blocks = capacity_blocks
        self.pool = pool
        self.environment = environment
        self.default_mode_parameters = ModeParameters(write_cache_enabled, descriptor_format_sense, thresholds=thresholds)
        self._is_read_only = write_protected
        """True if the operator has made the logical unit read-only. MODE SELECT cannot make it writable."""
        self.thresholds = ArmedThresholds(thresholds, environment.monotonic)
        self.set_mode_parameters(self.default_mode_parameters)
        public_identity = pool.public_identity(volume)
        self.identity = naa_designator(public_identity)
        self.serial_number = public_identity.hex()
        self.set_personality(USUAL)
        self.blocks = LogicalBlocks(volume, block_bytes)
        self.added_vpd_pages: dict[int, VpdPageBuilder] = {}
        """Functions that build additional VPD pages, by page code.

        Each function builds the whole page with its four-byte header. The copy manager adds page 8Fh.
        """
        self.added_log_pages: dict[tuple[int, int], Callable[[LogicalUnit], LogParameters]] = {}
        """Functions that build the parameters of additional log pages, by page code and subpage code."""
        self.on_reset: list[Callable[[LogicalUnit], None]] = []
        """Functions that are called when the logical unit is reset, after its tasks have been aborted."""
        self.on_sanitize: list[Callable[[LogicalUnit], Awaitable[None]]] = []
        """Functions that a sanitize operation awaits before it deallocates the blocks."""
        self.data_buffer = b""
        """Content of the data buffer that WRITE BUFFER writes. If it is empty, all bytes of the data buffer are zero."""
        self.host_timestamp: HostTimestamp | None = None
        """The timestamp that a host has set. None if the timestamp is the time of the machine."""
        self.port_groups = NO_ASYMMETRIC_ACCESS
        self.pending_states: dict[int, PendingState] = {}
        """The states at the end of transitions, by the numbers of the target port groups that are transitioning."""
        self._reserved_by: TaskNexus | None = None
        self.reservations = NO_RESERVATIONS
        self.unclaimed_read_bytes = SMALL_READ_BYTES
        """Largest read that claims no memory, because its data is sent at once."""

    def join(self, group: GroupGate | None) -> None:
        """Execute the later commands as a logical unit of a group, or of no group. Data that is read may then have to wait, so
        that every read claims memory.
        """
        self.group = group
        self.unclaimed_read_bytes = SMALL_READ_BYTES if group is None else 0

    @property
    def flushes_at_once(self) -> bool:
        """True if a flush of the logical unit need not wait. In a group, a flush always waits for the other array."""
        return self.group is None and self.pool.flushes_at_once

    def set_personality(self, personality: UnitPersonality) -> None:
        """Give the logical unit the properties that a tester has chosen. No host may use it yet."""
        self.personality = personality
        self.reported_limits: BlockLimits = personality.reported_limits(self.block_bytes)
        """The limits in VPD page B0h. The value 0 means "not reported"."""
        self.block_limits: BlockLimits = personality.enforced_limits(self.block_bytes)
        self.max_transfer_blocks = self.block_limits.max_transfer_blocks

    @property
    def port_groups(self) -> PortGroups:
        """The target port groups, with their asymmetric access states for this logical unit. A reset does not change them."""
        return self._port_groups

    @port_groups.setter
    def port_groups(self, port_groups: PortGroups) -> None:
        self._port_groups = port_groups
        self.restricted = port_groups.restricted
        self.tpgs = port_groups.modes.value
        self.multip = port_groups.has_several_ports

    @property
    def settled_port_groups(self) -> PortGroups:
        """The target port groups as they will be after all transitions that are under way."""
        groups = self._port_groups
        for number, pending in self.pending_states.items():
            groups = groups.with_states({number: pending.state})
        return groups

    @property
    def reservations(self) -> Reservations:
        """The persistent reservation and the registrations of this logical unit. A reset does not change them."""
        return self._reservations

    @reservations.setter
    def reservations(self, reservations: Reservations) -> None:
        self._reservations = reservations
        self._reservation_changed()

    @property
    def reserved_by(self) -> TaskNexus | None:
        """The nexus that has reserved the logical unit with RESERVE. A reset or the end of the nexus ends this."""
        return self._reserved_by

    @reserved_by.setter
    def reserved_by(self, nexus: TaskNexus | None) -> None:
        self._reserved_by = nexus
        self._reservation_changed()

    def _reservation_changed(self) -> None:
        self.is_reserved = self._reserved_by is not None or self._reservations.reservation is not None
        if self.is_reserved:
            self.tasks.refuse_arrivals(self.is_kept_out)

    def is_kept_out(self, nexus: TaskNexus, access: Access) -> bool:
        """True if a command of this nexus with this kind of access conflicts with the reservation."""
        if self._reserved_by is not None:
            return access is not Access.ALWAYS_ALLOWED and self._reserved_by.name != nexus.name
        return self.is_reserved and self._reservations.conflict(nexus.name, access)

    @property
    def mode_parameters(self) -> ModeParameters:
        """The mode parameters that MODE SENSE reports and MODE SELECT can change."""
        return ModeParameters(
            self.write_cache_enabled,
            self.descriptor_format_sense,
            self.software_write_protect,
            self.reports_thresholds,
            self.thresholds.thresholds,
            AccessModes.IMPLICIT in self.port_groups.modes,
        )

    def set_mode_parameters(self, parameters: ModeParameters) -> None:
        """Apply mode parameters to all later commands."""
        self.write_cache_enabled = parameters.write_cache_enabled
        self.descriptor_format_sense = parameters.descriptor_format_sense
        self.software_write_protect = parameters.software_write_protect
        self.write_protected = self._is_read_only or self.software_write_protect
        self.reports_thresholds = parameters.threshold_reporting_enabled
        self.thresholds.set(parameters.thresholds)

    def set_default_thresholds(self, thresholds: tuple[Threshold, ...]) -> bool:
        """Set the thresholds that a reset restores. If no host has set others, use them at once. Returns True if the present
        thresholds have changed.
        """
        before, is_default = self.thresholds.thresholds, self.thresholds.thresholds == self.default_mode_parameters.thresholds
        self.default_mode_parameters = replace(self.default_mode_parameters, thresholds=thresholds)
        if is_default:
            self.thresholds.set(thresholds)
        return self.thresholds.thresholds != before

    def set_read_only(self, *, read_only: bool) -> None:
        """If `read_only` is True, refuse all later writes. Otherwise accept writes again, unless a host has set software write
        protection.
        """
        self._is_read_only = read_only
        self.write_protected = read_only or self.software_write_protect

    def reached_thresholds(self) -> list[int]:
        """Return the thresholds of which hosts have been notified: for each of them, the byte offset of its descriptor in the
        mode page.
        """
        return [descriptor_offset(index) for index in sorted(self.thresholds.reached)] if self.reports_thresholds else []


def naa_designator(identity: bytes) -> bytes:
    """Derive a name in NAA format 6h (SPC-4 7.8.6.6.5) from `identity`. Equal identities always give equal names."""
    digest = hashlib.sha256(b"logical unit name:" + identity).digest()
    number = 0x6 << 124 | int.from_bytes(LOCALLY_ADMINISTERED_COMPANY_ID, "big") << 100 | int.from_bytes(digest, "big") >> 156
    return number.to_bytes(16, "big")
