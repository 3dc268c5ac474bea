"""Task management functions. The module maps iSCSI function codes to functions of the device server (RFC 7143 11.5, 11.6)."""

from collections.abc import Callable, Iterator

from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.iscsi.pdu.opcodes import TaskManagementResponse as Response
from odx_target.iscsi.session.events import TaskManagement
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.turns import Turns


class TargetReset:
    """The reset of all logical units for one connection, in turns of the event loop."""

    def __init__(self, device_server: DeviceServer, turns: Turns) -> None:
        self._device_server = device_server
        self._turns = turns
        self._pieces: Iterator[int] | None = None

    @property
    def is_running(self) -> bool:
        """True if some logical units must still be reset in later turns."""
        return self._pieces is not None

    def has_ended(self, nexus: Nexus | None) -> bool:
        """Begin or continue a reset, until no steps of the turn remain. Return False if it must be continued in a later turn.

        If the nexus has been lost, `nexus` is None. A reset that is running continues, but no reset begins.
        """
        pieces, self._pieces = self._pieces, None  # An exception ends the reset.
        if pieces is None:
            if nexus is None:
                return True
            pieces = self._device_server.target_reset(nexus)
        for steps in pieces:
            if self._turns.take(steps) <= 0:
                self._pieces = pieces
                return False
        return True


def perform_task_management(device_server: DeviceServer, nexus: Nexus, request: TaskManagement) -> Response:
    """Perform a task management function. Aborted tasks change no data after this function has returned.

    If the function is in WHOLE_TARGET, the caller must first perform a TargetReset to its end. This call then only returns the
    response.
    """
    perform = _FUNCTIONS.get(request.function)
    if perform is None:
        return Response.FUNCTION_NOT_SUPPORTED
    if request.function not in WHOLE_TARGET and request.lun not in nexus.logical_units:
        return Response.LUN_DOES_NOT_EXIST
    return perform(device_server, nexus, request)


def _abort_task(device_server: DeviceServer, nexus: Nexus, request: TaskManagement) -> Response:
    found = device_server.abort_task(nexus, request.lun, request.referenced_task_tag)
    return Response.FUNCTION_COMPLETE if found else Response.TASK_DOES_NOT_EXIST


def _abort_task_set(device_server: DeviceServer, nexus: Nexus, request: TaskManagement) -> Response:
    device_server.abort_task_set(nexus, request.lun)
    return Response.FUNCTION_COMPLETE


def _clear_task_set(device_server: DeviceServer, nexus: Nexus, request: TaskManagement) -> Response:
    device_server.clear_task_set(nexus, request.lun)
    return Response.FUNCTION_COMPLETE


def _reset_logical_unit(device_server: DeviceServer, nexus: Nexus, request: TaskManagement) -> Response:
    device_server.reset_logical_unit(nexus.logical_units[request.lun], nexus)
    return Response.FUNCTION_COMPLETE


def _target_was_reset(_device_server: DeviceServer, _nexus: Nexus, _request: TaskManagement) -> Response:
    return Response.FUNCTION_COMPLETE


_FUNCTIONS: dict[int, Callable[[DeviceServer, Nexus, TaskManagement], Response]] = {
    Function.ABORT_TASK: _abort_task,
    Function.ABORT_TASK_SET: _abort_task_set,
    Function.CLEAR_TASK_SET: _clear_task_set,
    Function.LOGICAL_UNIT_RESET: _reset_logical_unit,
    Function.TARGET_WARM_RESET: _target_was_reset,
    Function.TARGET_COLD_RESET: _target_was_reset,
}
WHOLE_TARGET = {Function.TARGET_WARM_RESET, Function.TARGET_COLD_RESET}
"""Functions that reset all logical units."""
