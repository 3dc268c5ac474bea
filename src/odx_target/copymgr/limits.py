"""All limits of the copy manager, with their reasons. VPD page 8Fh reports the limits that concern initiators.

The limits are in bytes, so that they are valid for logical units of any block length.
"""

from dataclasses import dataclass
from enum import StrEnum

from odx_target.copymgr.tokens.rod_types import POINT_IN_TIME_TYPES, RodTypes
from odx_target.store.api import BLOCK_BYTES

MAX_RANGE_DESCRIPTORS = 64
"""Maximum number of range descriptors in a parameter list. Windows sends at most this number.

A WRITE USING TOKEN parameter list with 64 descriptors fits into one unsolicited burst.
"""

MAX_NAMEABLE_RANGE_DESCRIPTORS = 0xFFFF // 16
"""Maximum number of range descriptors that a RANGE DESCRIPTOR LENGTH of 16 bits can express (SBC-4 5.24)."""

MAX_ROD_BYTES = 1 << 40
"""Maximum size of a token, and of all ranges of a command together. A token for 1 TiB costs no more than a token for 1 MiB.

With this limit, a partial result has at most 2^31 blocks of 512 bytes. This number fits into the 32 bits of the INFORMATION
field in fixed format sense data. Windows limits its requests to the optimal transfer size, which must not be larger than this
limit.
"""

MAX_RANGE_BYTES = MAX_ROD_BYTES
"""Maximum size of one range.

The limit of a range equals the limit of the whole command, because long ranges are copied in steps.
"""

OPTIMAL_TRANSFER_BYTES = 256 << 20
"""Optimal transfer size. Windows copies in chunks of this size, with one WRITE USING TOKEN for each POPULATE TOKEN.

If the optimal transfer size is not reported, Windows sends one WRITE USING TOKEN for each 64 MiB.
"""

MIN_INACTIVITY_TIMEOUT_S = 1
"""Minimum inactivity timeout, the shortest timeout that the field can express.

With a larger minimum, hosts could not get the timeouts that they request.
"""

DEFAULT_INACTIVITY_TIMEOUT_S = 120
"""Default inactivity timeout of a token. Normally a few milliseconds pass between two commands of one copy.

On a host that waits for a failed path, up to 75 s may pass. Windows never deletes its tokens, so each of them keeps its blocks
until this timeout ends. With a longer timeout, unused tokens would keep blocks longer.
"""

MAX_INACTIVITY_TIMEOUT_S = 3600
"""Maximum inactivity timeout that a host may ask for. One hour is enough time for a person to pass on a token by hand.

A token that nobody uses frees its blocks after one hour.
"""

MAX_TOKEN_LIFETIME_S = 86_400
"""Maximum lifetime of a token, even if it is used often.

The lifetime is limited because a token keeps the old content of blocks that are overwritten.
"""

COMMAND_BUDGET_S = 4.0
"""Time limit of a synchronous copy command (setting `copy-budget`). If a command takes longer, Windows treats the array as
slow.

The limit is also far below the command timeouts of hosts. In a virtual machine, this timeout may be shorter than the usual 60
s.
"""

ANSWER_RESERVE_S = 0.25
"""Part of the command budget that is reserved for the commit, the response and the network."""

MAX_TOKENS = 65_536
"""Maximum number of tokens.

65,536 tokens are enough for 16 TiB in chunks of 256 MiB, or for 500 small files a second with the default timeout.
"""

TOKEN_MEMORY_BYTES = 3 << 10
"""Approximate memory of one token and its ranges, in bytes. The memory of the frozen map is not included."""

MAX_CHANGE_VULNERABLE_TOKENS = 256
"""Maximum number of change-vulnerable tokens per logical unit.

A write to a block of a change-vulnerable token examines all change-vulnerable tokens of the logical unit, and may end all of
them. The examination of 256 tokens takes some milliseconds.
"""

MIN_TOMBSTONE_S = 3600
"""Minimum time for which the cause of a token's end is stored.

If twice the life of the token is longer than this minimum, the cause is stored for twice the life of the token.
"""

MAX_TOMBSTONES = 65_536
"""Maximum number of ended tokens whose cause is stored.

If there are more ended tokens, the oldest causes are removed, and their tokens are reported as unknown.
"""

TOMBSTONE_MEMORY_BYTES = 200
"""Approximate memory for the cause of the end of one token, in bytes."""

MAX_RECORDS_PER_NEXUS = 255
"""Maximum number of records of a nexus. A record stores the result of one operation, for a host that asks for it. This number
is a few times the command window of a session.

Every WRITE USING TOKEN leaves a record, and Windows never asks for this record.
"""

MAX_RECORD_BYTES = 16 << 20
"""Maximum memory for the records of all nexuses.

16 MiB are enough for 64 sessions with the maximum number of records, if each record has a token.
"""

RECORD_OVERHEAD_BYTES = 512
"""Memory of a record in bytes, without its sense data and its token.

The memory is for the record object and its entries in tables.
"""

RECORD_LIFETIME_S = 300.0
"""Time for which a host can ask for the result of a copy. Usually a host asks at once.

After a path failure, a host asks within 75 s, which is the command timeout of 60 s plus the transport timeout of 15 s. The
limit is a few times 75 s.
"""

MAX_CONCURRENT_COPIES = 1024
"""Maximum number of running operations of all nexuses. The sessions of an array start far fewer operations.

Even with this number of running operations, each operation runs again before its time budget (`COMMAND_BUDGET_S`) is used up.
"""

COPY_STEP_BYTES = 1 << 20
"""Size of a step that reads and writes. Between two steps, other tasks run, and the operation ends if it has been aborted."""

COPY_STEP_BYTES_BESIDE_HOSTS = 64 << 10
"""Size of a step that reads and writes in a short turn, while commands of hosts are executed. These commands wait for the step,
and 1 MiB takes a millisecond."""

REMAP_STEP_BYTES = 1 << 30
"""Size of a step that shares map entries or makes holes. A step of this kind takes much less than a millisecond."""

MAX_CSCD_DESCRIPTORS = 16
"""Maximum number of CSCD descriptors of one EXTENDED COPY. Hosts send two: the source and the destination.

The search for a logical unit by its designator may have to visit all LUNs of the nexus, so the number must be small.
"""

MAX_SEGMENT_DESCRIPTORS = 64
"""Maximum number of segment descriptors of one EXTENDED COPY. A list with this number is decoded and checked in less than a
turn of the event loop. ESXi sends at most 16 segments, and most programs send one.
"""

MAX_DESCRIPTOR_LIST_BYTES = 4096
"""Maximum size of all descriptors of one EXTENDED COPY. The maximum numbers of descriptors need 2560 bytes.

The rest is for lists with too many descriptors, so that sense data can report the number as the reason of the refusal.
"""

MAX_SEGMENT_BYTES = 256 << 20
"""Maximum size of one segment of EXTENDED COPY.

A segment descriptor for whole blocks of 4096 bytes cannot express more. ESXi copies at most 16 MiB in one segment.
"""

STATUS_UPDATE_DELAY_MS = 100
"""Delay after which an initiator should ask for progress again. An operation does a few steps in this time."""

STEPS_ON_THE_WAY = 100
"""Number of steps (see `turns`) that one command spends on the removal of expired tokens and records. A background task removes
most of them.
"""

MAX_INITIATOR_TOTALS = 1024
"""Maximum number of initiators whose copied bytes are counted apart. A few hundred bytes are needed for each."""

REFUSALS_KEPT = 64
"""Maximum number of refusals whose reasons are stored for the operator. The latest refusals are stored."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The limits of one copy manager.

    Raises ValueError if limits contradict each other or do not fit their fields in VPD page 8Fh and RECEIVE COPY OPERATING
    PARAMETERS.
    """

    max_range_descriptors: int = MAX_RANGE_DESCRIPTORS
    max_rod_bytes: int = MAX_ROD_BYTES
    """Maximum size of a token, and of all ranges of one command.

    If `max_rod_bytes` is 0, the transfer limit of VPD page B0h applies to each range instead.
    """
    max_range_bytes: int = MAX_RANGE_BYTES
    optimal_transfer_bytes: int = OPTIMAL_TRANSFER_BYTES
    """Optimal transfer size that VPD page 8Fh reports. The value 0 means "not reported"."""
    min_inactivity_timeout_s: int = MIN_INACTIVITY_TIMEOUT_S
    default_inactivity_timeout_s: int = DEFAULT_INACTIVITY_TIMEOUT_S
    max_inactivity_timeout_s: int = MAX_INACTIVITY_TIMEOUT_S
    max_token_lifetime_s: int = MAX_TOKEN_LIFETIME_S
    command_budget_s: float = COMMAND_BUDGET_S
    answer_reserve_s: float = ANSWER_RESERVE_S
    max_tokens: int = MAX_TOKENS
    max_change_vulnerable_tokens: int = MAX_CHANGE_VULNERABLE_TOKENS
    """Maximum number of change-vulnerable tokens per logical unit."""
    min_tombstone_s: float = MIN_TOMBSTONE_S
    max_tombstones: int = MAX_TOMBSTONES
    max_records_per_nexus: int = MAX_RECORDS_PER_NEXUS
    max_record_bytes: int = MAX_RECORD_BYTES
    record_lifetime_s: float = RECORD_LIFETIME_S
    max_concurrent_copies: int = MAX_CONCURRENT_COPIES
    max_cscd_descriptors: int = MAX_CSCD_DESCRIPTORS
    max_segment_descriptors: int = MAX_SEGMENT_DESCRIPTORS
    max_descriptor_list_bytes: int = MAX_DESCRIPTOR_LIST_BYTES
    max_segment_bytes: int = MAX_SEGMENT_BYTES
    copy_step_bytes: int = COPY_STEP_BYTES
    remap_step_bytes: int = REMAP_STEP_BYTES

    @property
    def max_identified_copies(self) -> int:
        """Maximum number of running operations with list identifiers of one nexus. It fits into one byte, because RECEIVE COPY
        OPERATING PARAMETERS has only one byte for it.
        """
        return min(self.max_concurrent_copies, self.max_records_per_nexus, 0xFF)

    def __post_init__(self) -> None:
        timeouts = (
            1,
            self.min_inactivity_timeout_s,
            self.default_inactivity_timeout_s,
            self.max_inactivity_timeout_s,
            self.max_token_lifetime_s,
            0xFFFF_FFFF,
        )
        _require(list(timeouts) == sorted(timeouts), "minimum, default and maximum inactivity timeout and lifetime must rise")
        _require(0 < self.max_range_descriptors <= MAX_NAMEABLE_RANGE_DESCRIPTORS, "the number of range descriptors")
        for size_bytes in (self.max_rod_bytes, self.max_range_bytes, self.optimal_transfer_bytes):
            _require(size_bytes >= 0 and not size_bytes % BLOCK_BYTES, "sizes must be whole blocks of the store")
        _require(
            not self.max_rod_bytes or self.optimal_transfer_bytes <= self.max_rod_bytes,
            "the optimal transfer must not be larger than the maximum",
        )
        _require(0 <= self.answer_reserve_s < self.command_budget_s, "the reserve must be less than the budget")
        for step_bytes in (self.copy_step_bytes, self.remap_step_bytes):
            _require(step_bytes > 0 and not step_bytes % BLOCK_BYTES, "steps must be whole blocks of the store")
        for count in (self.max_cscd_descriptors, self.max_segment_descriptors, self.max_concurrent_copies):
            _require(0 < count <= 0xFFFF, "descriptors and copies need room for one, and must fit their fields")
        for size_bytes in (self.max_descriptor_list_bytes, self.max_segment_bytes):
            _require(0 < size_bytes <= 0xFFFF_FFFF, "descriptors and segments need room for one, and must fit their fields")
        for count in (self.max_tokens, self.max_records_per_nexus):
            _require(count > 0, "tokens and records need room for one")


class TokenAccess(StrEnum):
    """The initiators that can use a token."""

    ANYONE = "anyone"
    """Every initiator that has the token, as the standards intend. Windows copies between two servers in this way."""
    SOURCE = "source"
    """The initiators with a LUN for the logical unit that the token was made from."""
    CREATOR = "creator"
    """The initiator that made the token."""


class UnreachableSense(StrEnum):
    """The sense data of a command whose token is from an array that cannot be reached."""

    STANDARD = "standard"
    """COPY ABORTED, COPY TARGET DEVICE NOT REACHABLE, as the standard says. Windows repeats the command."""
    WINDOWS = "windows"
    """ILLEGAL REQUEST, UNREACHABLE COPY TARGET. Windows does not repeat the command, and copies by reads and writes."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Options that the owner of an array can set.

    `lenient_lookup`: RECEIVE ROD TOKEN INFORMATION also finds the results of other nexuses of the same initiator. A multipath
    driver may send the copy command over one path, and RECEIVE ROD TOKEN INFORMATION over another path.

    `token_causes_reported`: the sense data reports why a token is invalid. If `token_causes_reported` is False, the sense data
    always reports "cause not reportable".

    `zero_token_accepted`: WRITE USING TOKEN accepts the block device zero token.

    `step_aside_copies` and `step_aside_latency_s`: number of running copies, and mean latency of the reads and writes of hosts,
    from which on the array is under stress (see `stepping_aside`). None means that there is no threshold.

    `token_access`: the initiators that can use a token. The zero token can be used by every initiator.

    `unreachable_sense`: the sense data if the array that made a token cannot be reached.

    `rod_types`: the types of tokens that are made and accepted.

    `missing_commands`: operation codes and service actions of copy commands that the command table does not have. VPD page 8Fh
    does not list them.
    """

    lenient_lookup: bool = True
    token_causes_reported: bool = True
    zero_token_accepted: bool = True
    step_aside_copies: int | None = None
    step_aside_latency_s: float | None = None
    token_access: TokenAccess = TokenAccess.ANYONE
    unreachable_sense: UnreachableSense = UnreachableSense.STANDARD
    rod_types: RodTypes = POINT_IN_TIME_TYPES
    missing_commands: frozenset[tuple[int, int | None]] = frozenset()


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"copy limits: {what}")
