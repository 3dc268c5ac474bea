"""Why Windows gives up, or goes on otherwise than a target may expect: every reason is a row.

The sections are those of interop/windows/README.md.
"""

from dataclasses import dataclass
from enum import Enum


class Weight(Enum):
    """What a rule means for a copy."""

    DECLINES = "Windows gives up"
    NOTES = "Windows goes on"


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule: where it is described, and in words."""

    section: str
    reason: str
    weight: Weight = Weight.DECLINES


def _note(section: str, reason: str) -> RuleRow:
    return RuleRow(section, reason, Weight.NOTES)


class Rule(Enum):
    """The rules, in the order in which a copy meets them."""

    NO_PORTAL_GROUP_TAG = RuleRow("7.2", "the first login response of a session has no TargetPortalGroupTag")
    KEY_NOT_OFFERED = RuleRow("7.2", "the target answered a key that was not offered")
    TSIH_TOO_EARLY = RuleRow("7.2", "the first login response of a new session has a TSIH")
    NO_TSIH = RuleRow("7.2", "the last login response of a new session has no TSIH")
    NO_AUTH_METHOD = RuleRow("7.2", "the answer of the security stage has no AuthMethod")
    COMMAND_WINDOW_CLOSED = RuleRow("7.2", "MaxCmdSN of the login response is behind ExpCmdSN")
    BURST_LENGTHS = RuleRow("7.2", "FirstBurstLength is over MaxBurstLength")
    DATA_ORDER = RuleRow("7.2", "DataPDUInOrder or DataSequenceInOrder is not Yes")
    NARROW_COMMAND_WINDOW = _note("7.2", "the command window of the login response is narrower than a few dozen commands")

    LUN_NOT_REPORTED = RuleRow("7.4", "REPORT LUNS does not list the logical unit")
    NOT_A_DISK = RuleRow("7.4", "INQUIRY does not say that a disk is there")
    NO_COMMAND_QUEUEING = _note("7.4", "CMDQUE is 0 in the INQUIRY data: commands come one at a time")
    NO_IDENTIFIER = _note("7.4", "VPD page 83h has no NAA or EUI-64 designator of the logical unit: no MPIO, no cluster")
    NO_CAPACITY = RuleRow("7.4", "the capacity cannot be read")
    SHORT_CAPACITY_16 = _note("7.4", "READ CAPACITY (16) gave fewer than 16 bytes: alignment and thin provisioning unknown")
    WRITE_PROTECTED = _note("7.4", "the WP bit of the mode parameters is 1: the disk is read-only")
    QERR_NOT_ZERO = _note("1.6", "QERR is not 00b: the class driver sets it by MODE SELECT")

    NO_PAGE_LIST = RuleRow("1.1", "VPD page 00h was not given")
    PAGE_LIST_ORDER = RuleRow("1.2", "the list of VPD pages does not begin with 00h or is not strictly ascending")
    PAGE_NOT_LISTED = RuleRow("1.2", "VPD page 8Fh is not in the list of pages")
    NO_COPY_PAGE = RuleRow("1.1", "VPD page 8Fh was not given")
    COPY_PAGE_LENGTH = RuleRow("1.3", "VPD page 8Fh is shorter than its header and one descriptor of ROD token limits")
    FIRST_DESCRIPTOR_TYPE = RuleRow("1.3", "the first descriptor of VPD page 8Fh is not the block device ROD token limits")
    FIRST_DESCRIPTOR_LENGTH = RuleRow("1.3", "the block device ROD token limits are not 20h bytes long")
    OPTIMUM_OVER_MAXIMUM = _note("1.4", "OPTIMAL TRANSFER COUNT is over MAXIMUM TOKEN TRANSFER SIZE: a debug build stops here")

    FILE_TOO_SMALL = RuleRow("3.7", "the file is smaller than 256 KiB")
    HELD_OFF = RuleRow("5.2", "token copy failed less than three minutes ago")
    LIFETIME_TOO_LONG = RuleRow("1.4", "the lifetime wanted is over MAXIMUM INACTIVITY TIMEOUT")
    RANGE_REFUSED = RuleRow("1.4", "a range is empty, not aligned to blocks, or not inside the disk")

    POPULATE_FAILED = RuleRow("2.3", "POPULATE TOKEN failed")
    INFORMATION_FAILED = RuleRow("2.3", "RECEIVE ROD TOKEN INFORMATION failed")
    INFORMATION_MISTAKEN = RuleRow("2.5", "RECEIVE ROD TOKEN INFORMATION ended with a code that is taken for a short answer")
    ANSWER_TOO_SHORT = RuleRow("2.3", "the answer of RECEIVE ROD TOKEN INFORMATION ends too soon")
    NOT_COMPLETE = RuleRow("2.4", "the copy operation is not complete, and nobody asks again")
    OPERATION_FAILED = RuleRow("2.4", "the copy operation ended with an error")
    COUNT_UNITS = RuleRow("2.3", "TRANSFER COUNT UNITS is not F1h: the count is taken as blocks all the same")
    COUNT_OVER_REQUEST = RuleRow("2.4", "TRANSFER COUNT is over the number of blocks asked for, and counts as 0")
    COUNT_ZERO = RuleRow("2.4", "TRANSFER COUNT is 0")
    TOKEN_DESCRIPTOR_LENGTH = RuleRow("2.3", "ROD TOKEN DESCRIPTORS LENGTH is not 514")
    TOKEN_SHORT = _note("2.4", "the token holds less than was asked for")
    TOKEN_UNUSABLE = RuleRow("3.2", "the token holds less than one block of the destination")

    TOKEN_REFUSED = RuleRow("3.1", "WRITE USING TOKEN refused the token")
    WRITE_FAILED = RuleRow("3.1", "WRITE USING TOKEN failed and wrote nothing")
    INFORMATION_OVER_REQUEST = RuleRow("3.4", "INFORMATION is over the number of blocks asked for: the driver leaves its list")
    TOO_LONG = _note("3.5", "four seconds have passed since the offload write began: it ends with what is written")
    WRITE_SHORT = _note("3.4", "WRITE USING TOKEN wrote less than was asked for")
    DESCRIPTOR_FORMAT = _note("3.4", "sense data in descriptor format: INFORMATION is taken as lost")

    DISK_OFFLINE = RuleRow("5.1", "space allocation failed: the disk is taken offline")
    ORDINARY_FAILED = RuleRow("5.2", "an ordinary read or write failed: so does the copy")

    @property
    def section(self) -> str:
        return self.value.section

    @property
    def reason(self) -> str:
        return self.value.reason

    @property
    def declines(self) -> bool:
        return self.value.weight is Weight.DECLINES


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a copy met. `where` names the disk or path, `position_bytes` the place in the file."""

    rule: Rule
    where: str = ""
    detail: str = ""
    position_bytes: int | None = None

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        detail = f" ({self.detail})" if self.detail else ""
        position = "" if self.position_bytes is None else f" at byte {self.position_bytes} of the file"
        return f"{where}{self.rule.reason}{detail}{position} [{self.rule.section}]"
