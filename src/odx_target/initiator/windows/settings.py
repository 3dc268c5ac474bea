"""The settings of the behaviour, with Windows' own values if they are known."""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.windows.nt_status import NtStatus

MIB = 1 << 20
MIN_WRAP = 256
"""A smaller MaximumListIdentifier in the registry is ignored."""
MIN_DURATION_S = 4.0
"""CopyOffloadMaxTargetDuration: smaller values are ignored."""


class PathChoice(Enum):
    """On which path of a disk a command goes."""

    ONE = "all on one path, until it fails"
    OTHER_FOR_INFORMATION = "RECEIVE ROD TOKEN INFORMATION on another path than the command it asks about"
    ROUND_ROBIN = "each command on the next path"


class QerrOverride(Enum):
    """QERROverrideMode of a device: when the class driver sets QERR to 00b."""

    WITH_TOKENS_OR_THIN = 0
    ALWAYS = 1
    NEVER = 2


class HoldOffScope(Enum):
    """The disks whose copies are held off after a failure that suggests that tokens do not work there."""

    PAIR = "the pair of source and destination"
    LOGICAL_UNIT = "each of the two logical units"


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """The settings. Times are in seconds, sizes in bytes. Raises ValueError for values that Windows would ignore."""

    first_list_identifier: int = 0
    max_list_identifier: int = 0xFFFFFFFF
    """MaximumListIdentifier: the one after it is 0."""
    token_lifetime_s: int = 0
    """The TTL of the offload read; 0: the target's default."""
    write_request_bytes: int = 256 * MIB
    """The copy engine's offload writes."""
    read_request_bytes: int | None = None
    """The copy engine's offload reads; None: all that is left of the file."""
    max_descriptors: int = 64
    max_write_bytes: int = 256 * MIB
    """Of one WRITE USING TOKEN."""
    write_bytes_without_optimum: int = 64 * MIB
    """The size of a command for a target that reports no OPTIMAL TRANSFER COUNT."""
    max_duration_s: float = MIN_DURATION_S
    """CopyOffloadMaxTargetDuration, looked at between two WRITE USING TOKENs."""
    scsi_timeout_s: float = 60.0 + 15.0
    """TimeOutValue of the disk and SrbTimeoutDelta of the iSCSI initiator."""
    populate_retries: int = 1
    information_after_populate_retries: int = 1
    write_retries: int = 2
    information_after_write_retries: int = 2
    ordinary_retries: int = 4
    space_allocation_retries: int = 32
    """Retries of reads and writes while a thin disk allocates space."""
    last_retry_untagged: bool = True
    qerr_override: QerrOverride = QerrOverride.WITH_TOKENS_OR_THIN
    busy_repeats: int = 20
    busy_delay_s: float = 0.25
    adapter_transfer_bytes: int = 262_144
    min_file_bytes: int = 256 << 10
    fallback_buffer_bytes: int = 262_144
    """The copy engine's buffer for ordinary reads and writes."""
    metadata_writes: int = 2
    """Writes of the file system before and after a copy, as far as the disk has a place for them."""
    new_token_after_a_token_died: bool = False
    """True to replace a token that is refused after some use; else token copy ends for the file."""
    hold_off_s: float = 180.0
    hold_off_scope: HoldOffScope = HoldOffScope.PAIR
    hold_off_statuses: frozenset[NtStatus] = frozenset(
        {NtStatus.NOT_SUPPORTED, NtStatus.INVALID_DEVICE_REQUEST, NtStatus.DEVICE_UNREACHABLE}
    )
    """Copies are held off after these statuses, and after a token is refused by the first write of a copy."""
    path_choice: PathChoice = PathChoice.ONE
    reset_after_failover: bool = False
    """A LOGICAL UNIT RESET on the new path before the command is sent again."""
    multipath_retries: int = 3
    """The number of times that the multipath module itself repeats a command whose end it handles; the value is inferred."""
    link_down_s: float = 15.0
    """LinkDownTime: the time to wait for a lost path before another one takes over."""
    reconnect_interval_s: float = 5.0
    request_hold_s: float = 60.0
    """MaxRequestHoldTime: the time to wait for a lost session."""
    login_attempts: int = 3
    """Attempts at a login or a discovery that is not answered; the number is inferred."""
    narrow_window_commands: int = 24
    """The smallest command window that is not noted."""

    def __post_init__(self) -> None:
        if not MIN_WRAP <= self.max_list_identifier <= 0xFFFFFFFF:
            raise ValueError(f"the last list identifier must be {MIN_WRAP} to {0xFFFFFFFF}")
        if not 0 <= self.first_list_identifier <= self.max_list_identifier:
            raise ValueError("the first list identifier must not be over the last")
        if self.max_duration_s < MIN_DURATION_S:
            raise ValueError(f"the longest duration must be at least {MIN_DURATION_S:g} s")
