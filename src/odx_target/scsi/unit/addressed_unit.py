"""The part of a logical unit that the device server checks before it runs a command."""

from odx_target.scsi.sense import INITIALIZING_COMMAND_REQUIRED, WRITE_PROTECTED, CheckCondition
from odx_target.scsi.tasks.task_set import TaskSet
from odx_target.scsi.traffic import Traffic
from odx_target.scsi.unit.format_operation import FormatOperation
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation
from odx_target.scsi.unit.unit_personality import USUAL, UnitPersonality


class AddressedUnit:
    """A logical unit, or the object that stands for a LUN without a logical unit. A new unit is ready, writable and not
    reserved.
    """

    is_present: bool
    peripheral_qualifier = 0
    peripheral_device_type = 0

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks
        self.traffic = Traffic()
        """Counters of the commands of this unit. The transport, such as iSCSI, updates the counters."""
        self.is_ready = True
        """False if the state of the unit must be checked before every command."""
        self._stopped = False
        self._format_operation: FormatOperation | None = None
        self._sanitize_operation: SanitizeOperation | None = None
        self.write_protected = False
        self.descriptor_format_sense = False
        self.third_party_copy = False
        self.personality: UnitPersonality = USUAL
        self.tpgs = 0
        """The value of TPGS in standard INQUIRY data (SPC-4 6.4.2)."""
        self.multip = False
        """The value of MULTIP in standard INQUIRY data: True if more than one target port reaches the unit (SPC-4 6.4.2)."""
        self.is_reserved = False
        """True if a reservation must be checked before every command."""
        self.restricted: frozenset[int] | None = None
        """The target port groups whose state must be checked before every command. None if there are no such groups."""
        self.group: GroupGate | None = None
        """The group of the volume. None if no other array has the same logical unit."""

    @property
    def stopped(self) -> bool:
        """True after an initiator has stopped the unit."""
        return self._stopped

    @stopped.setter
    def stopped(self, stopped: bool) -> None:
        self._stopped = stopped
        self._state_changed()

    @property
    def format_operation(self) -> FormatOperation | None:
        """The format operation that is running or has failed. None if there is no such operation."""
        return self._format_operation

    @format_operation.setter
    def format_operation(self, operation: FormatOperation | None) -> None:
        self._format_operation = operation
        self._state_changed()

    @property
    def sanitize_operation(self) -> SanitizeOperation | None:
        """The sanitize operation that is running or has failed. None if there is no such operation. A reset does not end it."""
        return self._sanitize_operation

    @sanitize_operation.setter
    def sanitize_operation(self, operation: SanitizeOperation | None) -> None:
        self._sanitize_operation = operation
        self._state_changed()

    def not_ready_condition(self) -> CheckCondition | None:
        """Return the sense data that reports why the unit is not ready. Return None if it is ready."""
        operation = self._sanitize_operation or self._format_operation
        if operation is not None:
            return operation.condition()
        return CheckCondition(INITIALIZING_COMMAND_REQUIRED) if self._stopped else None

    def access_refusal(self, *, writes: bool) -> CheckCondition | None:
        """Return the sense data with which the unit refuses a read or write of its medium in its present state. Return None if
        it accepts the access.
        """
        if self.group is not None and (refusal := self.group.refusal()) is not None:
            return refusal
        if writes and self.write_protected and self.is_ready:
            return CheckCondition(WRITE_PROTECTED)
        return self.not_ready_condition()

    def stop_format(self) -> None:
        """Stop a running format operation before its next change. A failed format operation stays failed."""
        if self._format_operation is not None and not self._format_operation.has_failed:
            self.format_operation = self._format_operation.previous

    def _state_changed(self) -> None:
        self.is_ready = not (self._stopped or self._format_operation or self._sanitize_operation)
