"""Every limit of the copy manager, with its reason. VPD page 8Fh reports those that an initiator may know.

Bytes are what the limits count in, so that one set serves logical units of any block length.
"""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_RANGE_DESCRIPTORS = 64
"""Windows never sends more, and the parameter list of WRITE USING TOKEN with 64 descriptors still fits one
unsolicited burst."""

MAX_NAMEABLE_RANGE_DESCRIPTORS = 0xFFFF // 16
"""A RANGE DESCRIPTOR LENGTH of 16 bits cannot name more (SBC-4 5.24)."""

MAX_ROD_BYTES = 1 << 40
"""A token and a command may cover 1 TiB: a token costs as much for 1 TiB as for 1 MiB, and the count of a partial result in
blocks of 512 bytes (2^31) still fits the 32 bits that INFORMATION has in fixed format sense. Windows clips its requests
at the optimal transfer, which must not be more than this."""

MAX_RANGE_BYTES = MAX_ROD_BYTES
"""No reason to bound one range below the whole command: ranges move by map entries and long ones are cut into steps."""

OPTIMAL_TRANSFER_BYTES = 256 << 20
"""The chunk of Windows' copy engine: with this one POPULATE TOKEN goes with one WRITE USING TOKEN; with "not reported" Windows
writes in pieces of 64 MiB."""

MIN_INACTIVITY_TIMEOUT_S = 1
"""The field counts in seconds, so no timeout is shorter. A larger minimum raises the timeouts that initiators ask for."""

DEFAULT_INACTIVITY_TIMEOUT_S = 120
"""Between two commands of one copy lie milliseconds; of a host that waits out a path failure up to 75 s. Windows deletes no
token, so every token of a copy lives at least this long: no longer than needed."""

MAX_INACTIVITY_TIMEOUT_S = 3600
"""A host may ask for an hour: long enough to carry a token by hand, short enough that a forgotten one frees its blocks soon."""

MAX_TOKEN_LIFETIME_S = 86_400
"""However often it is used, a token ends after a day: it keeps every block that was overwritten since."""

COMMAND_BUDGET_S = 4.0
"""How long a synchronous command may take before Windows treats the array as slow; nested hosts allow less than 60 s."""

ANSWER_RESERVE_S = 0.25
"""Of the budget, kept for the commit, the answer and the network."""

MAX_TOKENS = 65_536
"""65,536 tokens are 16 TiB of 256 MiB chunks, or half a thousand small files a second at the default timeout."""

TOKEN_MEMORY_BYTES = 3 << 10
"""About what one token takes of memory, with its ranges, beside the map that it keeps."""

MAX_CHANGE_VULNERABLE_TOKENS = 256
"""A write that changes the blocks of one looks at all of them, and may have to end them all: some milliseconds for 256."""

MIN_TOMBSTONE_S = 3600
"""The cause of a token's end is remembered for at least so long; after twice the token's life no initiator still asks."""

MAX_TOMBSTONES = 65_536
"""The oldest go first, and what they were about is then unknown."""

TOMBSTONE_MEMORY_BYTES = 200
"""About what the remembered cause of a token's end takes of memory."""

MAX_RECORDS_PER_NEXUS = 255
"""Windows leaves one record for every WRITE USING TOKEN and never asks for it: a few times the command window of a session."""

MAX_RECORD_BYTES = 16 << 20
"""All nexuses together: 64 sessions with full tables of records that hold a token."""

RECORD_OVERHEAD_BYTES = 512
"""Of a record, beside its sense data and token: the object and its places in tables."""

RECORD_LIFETIME_S = 300.0
"""A host asks at once or, after a path failure, within its command timeout of 60 s and its transport's 15 s; a
few times that."""

MAX_CONCURRENT_COPIES = 1024
"""Operations under way at once, those of all nexuses: far more than 64 sessions have reason to start, few enough that each
gets its turn of the loop within a budget."""

COPY_STEP_BYTES = 1 << 20
"""The size of a step that moves bytes; between steps other tasks run and an abort is noticed."""

REMAP_STEP_BYTES = 1 << 30
"""Moving map entries or making holes takes well under a millisecond for this much."""

STATUS_UPDATE_DELAY_MS = 100
"""An initiator that asks for progress before this has passed learns nothing new: a few steps."""

STEPS_ON_THE_WAY = 100
"""Steps that a command spends on expired tokens and records, most of which are ended in the background."""

REFUSALS_KEPT = 64
"""Refusals kept with their reasons, for people; the newest."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The limits of one copy manager. Raises ValueError where they contradict each other or a field of VPD page 8Fh."""

    max_range_descriptors: int = MAX_RANGE_DESCRIPTORS
    max_rod_bytes: int = MAX_ROD_BYTES
    """Per token and per command; 0: none, and the transfer limit of VPD page B0h then bounds each range."""
    max_range_bytes: int = MAX_RANGE_BYTES
    optimal_transfer_bytes: int = OPTIMAL_TRANSFER_BYTES
    """0: not reported."""
    min_inactivity_timeout_s: int = MIN_INACTIVITY_TIMEOUT_S
    default_inactivity_timeout_s: int = DEFAULT_INACTIVITY_TIMEOUT_S
    max_inactivity_timeout_s: int = MAX_INACTIVITY_TIMEOUT_S
    max_token_lifetime_s: int = MAX_TOKEN_LIFETIME_S
    command_budget_s: float = COMMAND_BUDGET_S
    answer_reserve_s: float = ANSWER_RESERVE_S
    max_tokens: int = MAX_TOKENS
    max_change_vulnerable_tokens: int = MAX_CHANGE_VULNERABLE_TOKENS
    """Per logical unit."""
    min_tombstone_s: float = MIN_TOMBSTONE_S
    max_tombstones: int = MAX_TOMBSTONES
    max_records_per_nexus: int = MAX_RECORDS_PER_NEXUS
    max_record_bytes: int = MAX_RECORD_BYTES
    record_lifetime_s: float = RECORD_LIFETIME_S
    max_concurrent_copies: int = MAX_CONCURRENT_COPIES
    copy_step_bytes: int = COPY_STEP_BYTES
    remap_step_bytes: int = REMAP_STEP_BYTES

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
        for count in (self.max_tokens, self.max_records_per_nexus, self.max_concurrent_copies):
            _require(count > 0, "tokens, records and copies need room for one")


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """The options of an array's owner.

    `lenient_lookup`: RECEIVE ROD TOKEN INFORMATION finds a result also through another nexus of the same initiator, because
    multipath drivers send the command and the question about it over different paths. `token_causes_reported`: tell why a
    token is invalid; without it every cause is told as "cause not reportable". `zero_token_accepted`: the block device zero
    token may be used.
    """

    lenient_lookup: bool = True
    token_causes_reported: bool = True
    zero_token_accepted: bool = True


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"copy limits: {what}")
