"""A table of the reasons why Windows gives up a copy, or continues in a way that a target may not expect.

The section numbers refer to interop/windows/README.md. `events` are the IDs of the events that the iSCSI port driver writes to
the System log (source iScsiPrt).
"""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.errors import Breach


class Weight(Enum):
    """The consequence of a rule for a copy."""

    DECLINES = "Windows gives up"
    DROPS = "Windows drops the connection"
    NOTES = "Windows goes on"


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule: the section of interop/windows/README.md that describes the rule, its reason, its weight, and the IDs of the
    events that Windows logs.
    """

    section: str
    reason: str
    weight: Weight = Weight.DECLINES
    events: tuple[int, ...] = ()


def _row(section: str, reason: str, *events: int) -> RuleRow:
    return RuleRow(section, reason, Weight.DECLINES, events)


def _drop(section: str, reason: str, *events: int) -> RuleRow:
    return RuleRow(section, reason, Weight.DROPS, events)


def _note(section: str, reason: str, *events: int) -> RuleRow:
    return RuleRow(section, reason, Weight.NOTES, events)


class Rule(Enum):
    """The rules, in the order in which they apply during a copy."""

    TEXT_UNANSWERED = _row("7.2", "SendTargets is not answered in time", 46)
    NO_TAG_IN_ADDRESS = _row("7.1", "a TargetAddress has no portal group tag: no target is listed")
    TARGET_NOT_LISTED = _row("7.1", "SendTargets does not list the target")

    TARGET_SECRET_LENGTH = _row("7.3", "the CHAP secret is not 12 to 16 bytes long", 35)
    INITIATOR_SECRET_LENGTH = _row("7.3", "the secret of the target (mutual CHAP) is not 12 to 16 bytes long", 36)
    LOGIN_UNANSWERED = _row("7.2", "the login is not answered in time", 43)
    LOGIN_REFUSED = _row("7.2", "the target refuses the login", 10)
    NO_PORTAL_GROUP_TAG = _row("7.2", "the first login response of a session has no TargetPortalGroupTag", 43)
    KEY_NOT_OFFERED = _row("7.2", "the target answered a key that was not offered", 43, 10)
    TSIH_TOO_EARLY = _row("7.2", "the first login response of a new session has a TSIH", 11)
    NO_TSIH = _row("7.2", "the last login response of a new session has no TSIH", 11)
    NO_AUTH_METHOD = _row("7.2", "the answer of the security stage has no AuthMethod", 41)
    UNKNOWN_AUTH_METHOD = _row("7.3", "the target chose an AuthMethod that Windows does not know", 13)
    CHAP_NOT_OFFERED = _row("7.3", "the host requires CHAP, the target chose no authentication", 38)
    CHAP_WANTED = _row("7.3", "the target requires CHAP, which is not configured on the host", 40)
    CHAP_ALGORITHM = _row("7.3", "the algorithm of CHAP is not MD5 (5)", 14)
    CHAP_CHALLENGE = _row("7.3", "the CHAP challenge cannot be read", 15)
    CHAP_CHALLENGE_LENGTH = _row("7.3", "the CHAP challenge is longer than 1024 bytes", 33)
    CHAP_KEY = _row("7.3", "the CHAP exchange has a key that is not allowed there", 16)
    CHAP_PROOF = _row("7.3", "the target did not authenticate itself by CHAP", 17)
    HEADER_DIGEST_REFUSED = _row("7.2", "the host requires header digests, the target declines them", 18)
    DATA_DIGEST_REFUSED = _row("7.2", "the host requires data digests, the target declines them", 19)
    COMMAND_WINDOW_CLOSED = _row("7.2", "MaxCmdSN of the login response is less than ExpCmdSN", 3)
    BURST_LENGTHS = _row("7.2", "FirstBurstLength is greater than MaxBurstLength", 4)
    DATA_PDU_ORDER = _row("7.2", "DataPDUInOrder is not Yes", 61)
    DATA_SEQUENCE_ORDER = _row("7.2", "DataSequenceInOrder is not Yes", 62)
    NARROW_COMMAND_WINDOW = _note("7.2", "the command window of the login response is narrower than a few dozen commands")

    INVALID_PDU = _drop("7.2", "the target sent a PDU that cannot be read, or is not allowed in this state", 23)
    RESERVED_BITS = _drop("7.2", "reserved bits of a PDU are not 0, or the first bit of byte 1 is not 1", 23)
    R2T_FLAGS = _drop("7.2", "byte 1 of an R2T is not 80h", 23)
    PADDING = _drop("7.2", "a data segment is not padded to four bytes", 23)
    UNKNOWN_OPCODE = _drop("7.2", "the target sent an operation code that targets do not have", 24)
    SEGMENT_TOO_LONG = _drop("7.2", "a data segment is longer than the MaxRecvDataSegmentLength that was declared", 21)
    HEADER_DIGEST = _drop("7.2", "a header digest is wrong", 22)
    DATA_DIGEST = _drop("7.2", "a data digest is wrong", 25)
    TOO_MUCH_DATA = _drop("7.2", "more data arrived than the command expects", 26)
    UNKNOWN_TASK_TAG = _drop("7.2", "the target answers a task that does not exist", 27)
    INVALID_R2T = _drop("7.2", "an R2T asks for data out of order, twice, or past the end", 28)
    STAT_SN = _drop("7.2", "StatSN is not the next number", 42)
    DATA_IN_RESPONSE = _drop("7.2", "a SCSI Response has other data after the sense data", 60)
    RESIDUAL = _drop("7.2", "O, U and the residual count do not fit the data that arrived")
    REJECTED = _note("7.2", "the target rejected a request", 29)
    COMMAND_UNANSWERED = _note("7.2", "a command is not answered in time", 9)
    RESET_UNANSWERED = _drop("7.2", "a task management function is not answered in time", 49)
    LOGOUT_UNANSWERED = _note("7.2", "the logout is not answered", 44)

    LUN_NOT_REPORTED = _row("7.4", "REPORT LUNS does not list the logical unit")
    NOT_A_DISK = _row("7.4", "INQUIRY does not report a disk")
    NO_COMMAND_QUEUEING = _note("7.4", "CMDQUE is 0 in the INQUIRY data: commands are sent one at a time")
    NO_SERIAL_NUMBER = _note("7.4", "VPD page 80h has no serial number")
    NO_IDENTIFIER = _note("7.4", "VPD page 83h has no NAA or EUI-64 designator of the logical unit: no MPIO, no cluster")
    NO_CAPACITY = _row("7.4", "the capacity cannot be read")
    SHORT_CAPACITY_16 = _note("7.4", "READ CAPACITY (16) gave fewer than 16 bytes: alignment and thin provisioning unknown")
    WRITE_PROTECTED = _note("7.4", "the WP bit of the mode parameters is 1: the disk is read-only")
    QERR_NOT_ZERO = _note("1.6", "QERR is not 00b: the class driver sets it by MODE SELECT")

    NO_PAGE_LIST = _row("1.1", "the target does not return VPD page 00h")
    PAGE_LIST_ORDER = _row("1.2", "the list of VPD pages does not begin with 00h or is not strictly ascending")
    PAGE_NOT_LISTED = _row("1.2", "VPD page 8Fh is not in the list of pages")
    NO_COPY_PAGE = _row("1.1", "the target does not return VPD page 8Fh")
    COPY_PAGE_LENGTH = _row("1.3", "VPD page 8Fh is shorter than its header and one descriptor of ROD token limits")
    FIRST_DESCRIPTOR_TYPE = _row("1.3", "the first descriptor of VPD page 8Fh is not the block device ROD token limits")
    FIRST_DESCRIPTOR_LENGTH = _row("1.3", "the block device ROD token limits are not 20h bytes long")
    OPTIMUM_OVER_MAXIMUM = _note(
        "1.4", "OPTIMAL TRANSFER COUNT is greater than MAXIMUM TOKEN TRANSFER SIZE: a debug build stops here"
    )

    FILE_TOO_SMALL = _row("3.7", "the file is smaller than 256 KiB")
    HELD_OFF = _row("5.2", "token copy failed less than three minutes ago")
    LIFETIME_TOO_LONG = _row("1.4", "the requested lifetime is greater than MAXIMUM INACTIVITY TIMEOUT")
    RANGE_REFUSED = _row("1.4", "a range is empty, not aligned to blocks, or not inside the disk")

    POPULATE_FAILED = _row("2.3", "POPULATE TOKEN failed")
    INFORMATION_FAILED = _row("2.3", "RECEIVE ROD TOKEN INFORMATION failed")
    INFORMATION_MISTAKEN = _row(
        "2.5", "RECEIVE ROD TOKEN INFORMATION ended with a sense code that Windows takes for a short answer"
    )
    ANSWER_TOO_SHORT = _row("2.3", "the answer of RECEIVE ROD TOKEN INFORMATION ends too soon")
    FOREIGN_ANSWER = _note("2.3", "RESPONSE TO SERVICE ACTION is that of another command: a debug build stops here")
    NOT_COMPLETE = _row("2.4", "the copy operation is not complete, and Windows does not ask again")
    OPERATION_FAILED = _row("2.4", "the copy operation ended with an error")
    COUNT_UNITS = _row("2.3", "TRANSFER COUNT UNITS is not F1h: the count is taken as blocks anyway")
    COUNT_OVER_REQUEST = _row("2.4", "TRANSFER COUNT is greater than the number of requested blocks, and counts as 0")
    COUNT_ZERO = _row("2.4", "TRANSFER COUNT is 0")
    TOKEN_DESCRIPTOR_LENGTH = _row("2.3", "ROD TOKEN DESCRIPTORS LENGTH is not 514")
    TOKEN_SHORT = _note("2.4", "the token has less data than was requested")
    TOKEN_UNUSABLE = _row("3.2", "the token has less data than one block of the destination")

    TOKEN_REFUSED = _row("3.1", "WRITE USING TOKEN refused the token")
    WRITE_FAILED = _row("3.1", "WRITE USING TOKEN failed and wrote nothing")
    INFORMATION_OVER_REQUEST = _row(
        "3.4", "INFORMATION is greater than the number of requested blocks: the driver runs past the end of its list of ranges"
    )
    TOO_LONG = _note("3.5", "four seconds have passed since the offload write began: it ends with the blocks written so far")
    WRITE_SHORT = _note("3.4", "WRITE USING TOKEN wrote less than was requested")
    DESCRIPTOR_FORMAT = _note("3.4", "sense data in descriptor format: INFORMATION is taken as lost")

    FUA_REFUSED = _note("7.4", "a write with FUA is refused: it is repeated without FUA, and the write cache is taken as off")
    CAPACITY_CHANGED = _note("5.1", "the capacity has changed")
    INQUIRY_CHANGED = _note(
        "1.7", "INQUIRY data has changed: the bus is scanned again, and VPD page B0h is read again, but not 8Fh"
    )
    SOFT_THRESHOLD = _note("5.1", "a threshold of thin provisioning is reached")
    DISK_OFFLINE = _row("5.1", "space allocation failed: the disk is taken offline")
    ORDINARY_FAILED = _row("5.2", "an ordinary read or write failed, and so the copy fails")

    @property
    def section(self) -> str:
        return self.value.section

    @property
    def reason(self) -> str:
        return self.value.reason

    @property
    def events(self) -> tuple[int, ...]:
        return self.value.events

    @property
    def declines(self) -> bool:
        """True if a breach of this rule makes Windows give up token copy, give up the whole disk, or drop the connection."""
        return self.value.weight is not Weight.NOTES


BREACHES: dict[Breach, Rule] = {
    Breach.INVALID_PDU: Rule.INVALID_PDU,
    Breach.UNKNOWN_OPCODE: Rule.UNKNOWN_OPCODE,
    Breach.HEADER_DIGEST: Rule.HEADER_DIGEST,
    Breach.DATA_DIGEST: Rule.DATA_DIGEST,
    Breach.SEGMENT_TOO_LONG: Rule.SEGMENT_TOO_LONG,
    Breach.UNKNOWN_TASK_TAG: Rule.UNKNOWN_TASK_TAG,
    Breach.STAT_SN: Rule.STAT_SN,
    Breach.INVALID_R2T: Rule.INVALID_R2T,
    Breach.DATA_IN_ORDER: Rule.INVALID_PDU,
    Breach.TOO_MUCH_DATA: Rule.TOO_MUCH_DATA,
    Breach.DATA_IN_RESPONSE: Rule.DATA_IN_RESPONSE,
    Breach.RESIDUAL: Rule.RESIDUAL,
    Breach.NOT_CARRIED_OUT: Rule.INVALID_PDU,
    Breach.REJECTED: Rule.INVALID_PDU,
}
"""The rule of Windows that applies to each breach of the protocol."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One case in which a rule of Windows applied. `where` is the name of the disk or path, and `position_bytes` is the
    position in the copied file.
    """

    rule: Rule
    where: str = ""
    detail: str = ""
    position_bytes: int | None = None

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        detail = f" ({self.detail})" if self.detail else ""
        position = "" if self.position_bytes is None else f" at byte {self.position_bytes} of the file"
        events = f", iScsiPrt {' or '.join(map(str, self.rule.events))}" if self.rule.events else ""
        return f"{where}{self.rule.reason}{detail}{position} [{self.rule.section}{events}]"
