"""The sequence numbers of one session: CmdSN with the command window of the target, and StatSN (RFC 7143 4.2.2)."""

from typing import Protocol

from odx_target.initiator.errors import Breach, ProtocolViolation
from odx_target.initiator.session.serial import following, is_behind


class WithWindow(Protocol):
    """A PDU of a target. Every such PDU has ExpCmdSN and MaxCmdSN."""

    exp_cmd_sn: int
    max_cmd_sn: int


class WithStatSn(WithWindow, Protocol):
    """A PDU of a target after which StatSN goes up by one."""

    stat_sn: int


class SequenceNumbers:
    """The next numbers to send and to expect. The next request carries `cmd_sn` and `exp_stat_sn`."""

    def __init__(self, exp_stat_sn: int = 0) -> None:
        self.cmd_sn = 1
        self.exp_stat_sn = exp_stat_sn
        self._exp_cmd_sn = self._max_cmd_sn = 1
        self._knows_stat_sn = False

    @property
    def window_is_open(self) -> bool:
        """True if the target accepts another command."""
        return not is_behind(self._max_cmd_sn, self.cmd_sn)

    def take_cmd_sn(self) -> int:
        """Return the CmdSN for a command, and advance the counter."""
        cmd_sn, self.cmd_sn = self.cmd_sn, following(self.cmd_sn)
        return cmd_sn

    def check_stat_sn(self, pdu: WithStatSn) -> None:
        """Check the StatSN of a PDU, and advance the expected StatSN by one (4.2.2.2). Raises ProtocolViolation."""
        if self._knows_stat_sn and pdu.stat_sn != self.exp_stat_sn:
            raise ProtocolViolation(f"StatSN {pdu.stat_sn} came where {self.exp_stat_sn} was due", Breach.STAT_SN)
        self._knows_stat_sn, self.exp_stat_sn = True, following(pdu.stat_sn)

    def widen(self, pdu: WithWindow, *, logged_in: bool) -> bool:
        """Update the command window from a PDU, and return True if the window is now wider. A window that is older than the
        known window is ignored (4.2.2.1).
        """
        if is_behind(following(pdu.max_cmd_sn), pdu.exp_cmd_sn):
            return False
        if not logged_in:
            self._exp_cmd_sn, self._max_cmd_sn = pdu.exp_cmd_sn, pdu.max_cmd_sn
            return False
        if is_behind(self._exp_cmd_sn, pdu.exp_cmd_sn):
            self._exp_cmd_sn = pdu.exp_cmd_sn
        is_wider = is_behind(self._max_cmd_sn, pdu.max_cmd_sn)
        if is_wider:
            self._max_cmd_sn = pdu.max_cmd_sn
        return is_wider
