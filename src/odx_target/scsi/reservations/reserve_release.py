"""RESERVE and RELEASE (SPC-2), with the exceptions for persistent reservations (SPC-4 5.13.3).

RESERVE reserves the whole logical unit for one nexus, until the nexus sends RELEASE or ends, or until a reset. Extents and
third parties are not supported, and are refused as invalid fields. While a logical unit is reserved, the PERSISTENT RESERVE
commands of all nexuses conflict. While a nexus is registered, RESERVE and RELEASE conflict, unless the persistent reservation
admits their sender. They then change nothing.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import ReservationConflict, Task

RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10 = 0x16, 0x17, 0x56, 0x57


def reserve(task: Task) -> Outcome:
    """Reserve the logical unit for the nexus of the task. A reservation of another nexus was checked before."""
    if not _is_admitted_by_persistent_reservation(task):
        task.logical_unit.reserved_by = task.nexus
    return Reply()


def release(task: Task) -> Outcome:
    """Release the logical unit. If another nexus has reserved it, or no nexus, nothing changes."""
    if not _is_admitted_by_persistent_reservation(task) and task.logical_unit.reserved_by is task.nexus:
        task.logical_unit.reserved_by = None
    return Reply()


def require_not_reserved(task: Task) -> None:
    """Raise ReservationConflict if a nexus has reserved the logical unit with RESERVE, even if the nexus is that of the task
    (SPC-2 5.5.1).
    """
    if task.logical_unit.reserved_by is not None:
        raise ReservationConflict


def _is_admitted_by_persistent_reservation(task: Task) -> bool:
    """True if the sender is a holder of the persistent reservation, or a registrant that the reservation admits.

    Raises ReservationConflict for any other sender if a nexus is registered.
    """
    reservations = task.logical_unit.reservations
    if not reservations.registrations:
        return False
    name = task.nexus.name
    if reservations.reservation is None or reservations.conflict(name, Access.WRITES):
        raise ReservationConflict
    return True


_FLAGS = CommandFlag.NOT_IN_GROUP

ROWS = (
    CommandRow("RESERVE(6)", RESERVE_6, bytes.fromhex("160000000000"), reserve, flags=_FLAGS, access=Access.ALLOWED),
    CommandRow("RELEASE(6)", RELEASE_6, bytes.fromhex("170000000000"), release, flags=_FLAGS, access=Access.ALWAYS_ALLOWED),
    CommandRow("RESERVE(10)", RESERVE_10, bytes.fromhex("56000000000000000000"), reserve, flags=_FLAGS, access=Access.ALLOWED),
    CommandRow(
        "RELEASE(10)", RELEASE_10, bytes.fromhex("57000000000000000000"), release, flags=_FLAGS, access=Access.ALWAYS_ALLOWED
    ),
)
