"""The tasks of one connection. A task exists from the arrival of its command until its answer."""

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.command_window import SERIAL_MASK, CommandWindow
from odx_target.iscsi.session.data_out import DataOutCollector
from odx_target.iscsi.session.events import CommandReady, PduRefused


class Tasks:
    """Active tasks by initiator task tag. `count_immediate` is the number of active tasks outside the command window."""

    __slots__ = ("_collector", "active", "count_immediate", "window")

    def __init__(self, window: CommandWindow, collector: DataOutCollector) -> None:
        self.window = window
        self._collector = collector
        self.active: dict[int, CommandReady] = {}
        self.count_immediate = 0

    def check_immediate(self) -> None:
        """Raise PduRefused if the number of active tasks outside the command window has reached its limit."""
        if self.count_immediate >= limits.MAX_IMMEDIATE_COMMANDS:
            raise PduRefused(RejectReason.IMMEDIATE_COMMAND_REJECT, "too many immediate commands are under way")

    def end(self, command: CommandReady) -> bool:
        """Remove a task and free its place in the window. Returns False if the task has already ended."""
        tag = command.initiator_task_tag
        found = self.active.pop(tag, None)
        if found is not command:
            if found is not None:
                self.active[tag] = found
            return False
        if command.immediate:
            self.count_immediate -= 1
        else:
            window = self.window
            window.max_cmd_sn = (window.max_cmd_sn + 1) & SERIAL_MASK
        if command.writes:
            self._collector.release(command)
        return True

    def abort(self, command: CommandReady) -> None:
        """End a task without an answer."""
        command.aborted = True
        self._collector.abort(command)
        self.end(command)

    def abort_all(self) -> None:
        """End all tasks, because the connection ends."""
        self._collector.stop()
        for command in list(self.active.values()):
            self.abort(command)

    def abort_collecting_of_lun(self, lun: int) -> bool:
        """End all tasks of a LUN that still wait for data, because another nexus aborted them. Returns False if there are no
        such tasks.
        """
        of_lun = [task for task in self.active.values() if task.lun == lun]
        return len(self.abort_collecting(of_lun)) < len(of_lun)

    def abort_collecting(self, commands: list[CommandReady]) -> list[CommandReady]:
        """End the commands whose data has not all arrived, without an answer. Return the other commands."""
        collecting = [command for command in commands if self._collector.abort(command)]
        for command in collecting:
            command.aborted = True
            self.end(command)
        return [command for command in commands if not command.aborted]
