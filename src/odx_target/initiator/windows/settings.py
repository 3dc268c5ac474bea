"""The settings of the Windows-like initiator. The defaults are Windows' own values, if these values are known."""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.windows.nt_status import NtStatus

MIB = 1 << 20
MIN_WRAP = 256
"""Smallest value of MaximumListIdentifier in the registry. Windows ignores smaller values."""
MIN_DURATION_S = 4.0
"""Smallest value of CopyOffloadMaxTargetDuration. Windows ignores smaller values."""


class PathChoice(Enum):
    """The rule by which the path for a command is chosen."""

    ONE = "all on one path, until it fails"
    OTHER_FOR_INFORMATION = "RECEIVE ROD TOKEN INFORMATION on another path than the command it asks about"
    ROUND_ROBIN = "each command on the next path"


class QerrOverride(Enum):
    """QERROverrideMode of a device: the condition under which the class driver sets QERR to 00b."""

    WITH_TOKENS_OR_THIN = 0
    ALWAYS = 1
    NEVER = 2


class HoldOffScope(Enum):
    """The disks for which Windows tries no tokens for some minutes after token copy has failed (see `hold_off`)."""

    PAIR = "the pair of source and destination"
    LOGICAL_UNIT = "each of the two logical units"


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """The settings of a host. Times are in seconds, sizes in bytes. Raises ValueError for values that Windows would ignore."""

    first_list_identifier: int = 0
    max_list_identifier: int = 0xFFFFFFFF
    """MaximumListIdentifier: the largest list identifier. After the largest list identifier the host continues at 0."""
    token_lifetime_s: int = 0
    """Inactivity timeout that the offload read requests; 0 means the target's default."""
    write_request_bytes: int = 256 * MIB
    """Size of an offload write of the copy engine."""
    read_request_bytes: int | None = None
    """Size of an offload read of the copy engine; None means all remaining bytes of the file."""
    max_descriptors: int = 64
    max_write_bytes: int = 256 * MIB
    """Size of the largest WRITE USING TOKEN."""
    write_bytes_without_optimum: int = 64 * MIB
    """Size of the largest WRITE USING TOKEN for a target that reports no OPTIMAL TRANSFER COUNT."""
    max_duration_s: float = MIN_DURATION_S
    """CopyOffloadMaxTargetDuration: the maximum duration of an offload write. It is checked between two WRITE USING TOKEN
    commands."""
    scsi_timeout_s: float = 60.0 + 15.0
    """Timeout of a command: TimeOutValue of the disk plus SrbTimeoutDelta of the iSCSI initiator."""
    populate_retries: int = 1
    information_after_populate_retries: int = 1
    write_retries: int = 2
    information_after_write_retries: int = 2
    ordinary_retries: int = 4
    space_allocation_retries: int = 32
    """Number of retries of reads and writes while a thin disk allocates space."""
    soft_threshold_retries: int = 32
    """Number of retries of a read or write after threshold notifications of thin provisioning. Ordinary retries count
    separately."""
    last_retry_untagged: bool = True
    qerr_override: QerrOverride = QerrOverride.WITH_TOKENS_OR_THIN
    busy_repeats: int = 20
    busy_delay_s: float = 0.25
    adapter_transfer_bytes: int = 262_144
    min_file_bytes: int = 256 << 10
    fallback_buffer_bytes: int = 262_144
    """Size of the copy engine's buffer for ordinary reads and writes."""
    metadata_writes: int = 2
    """Number of writes that the file system sends before and after a copy, if the disk has blocks for them."""
    new_token_after_a_token_died: bool = False
    """True if a new token replaces a token that worked before and is now refused. If False, token copy of the file ends."""
    hold_off_s: float = 180.0
    hold_off_scope: HoldOffScope = HoldOffScope.PAIR
    hold_off_statuses: frozenset[NtStatus] = frozenset(
        {NtStatus.NOT_SUPPORTED, NtStatus.INVALID_DEVICE_REQUEST, NtStatus.DEVICE_UNREACHABLE}
    )
    """Statuses of token copy after which Windows tries no tokens for some minutes. Windows does the same if the target refuses
    the token in the first write of a copy.
    """
    path_choice: PathChoice = PathChoice.ONE
    reset_after_failover: bool = False
    """True if LOGICAL UNIT RESET is sent on the new path before the command is sent again."""
    multipath_retries: int = 3
    """Number of times that the multipath module itself repeats a command. Microsoft does not document this number; it is an
    inference from other facts about Windows.
    """
    link_down_s: float = 15.0
    """LinkDownTime: the time to wait for a lost path before another path is used."""
    reconnect_interval_s: float = 5.0
    request_hold_s: float = 60.0
    """MaxRequestHoldTime: the time to wait for a lost session."""
    login_attempts: int = 3
    """Maximum number of attempts if a login or a discovery gets no answer. Microsoft does not document this number; it is an
    inference from other facts about Windows.
    """
    narrow_window_commands: int = 24
    """Minimum size of the command window. A smaller window causes a finding."""

    def __post_init__(self) -> None:
        if not MIN_WRAP <= self.max_list_identifier <= 0xFFFFFFFF:
            raise ValueError(f"the last list identifier must be {MIN_WRAP} to {0xFFFFFFFF}")
        if not 0 <= self.first_list_identifier <= self.max_list_identifier:
            raise ValueError("the first list identifier must not be over the last")
        if self.max_duration_s < MIN_DURATION_S:
            raise ValueError(f"the longest duration must be at least {MIN_DURATION_S:g} s")
