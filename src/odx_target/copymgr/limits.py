"""All limits of the copy manager, with their reasons. VPD page 8Fh reports the limits that concern initiators.

The limits count bytes, so that they are valid for logical units of any block length.
"""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES

MAX_RANGE_DESCRIPTORS = 64
"""Maximum number of range descriptors in a parameter list. Windows never sends more, and a WRITE USING TOKEN list with 64
descriptors still fits one unsolicited burst."""

MAX_NAMEABLE_RANGE_DESCRIPTORS = 0xFFFF // 16
"""Maximum number of range descriptors that a RANGE DESCRIPTOR LENGTH of 16 bits can express (SBC-4 5.24)."""

MAX_ROD_BYTES = 1 << 40
"""Maximum size of a token, and of all ranges of a command together. A token for 1 TiB costs no more than a token for 1 MiB. A
partial result then has at most 2^31 blocks of 512 bytes, which fits the 32 bits of INFORMATION in fixed format sense. Windows
limits its requests to the optimal transfer, which must not be larger than this limit."""

MAX_RANGE_BYTES = MAX_ROD_BYTES
"""Maximum size of one range. It is the limit of the whole command, because long ranges are cut into steps anyway."""

OPTIMAL_TRANSFER_BYTES = 256 << 20
"""Size of the chunks in which Windows copies: it then sends one WRITE USING TOKEN for each POPULATE TOKEN. If this value is not
reported, Windows writes in pieces of 64 MiB."""

MIN_INACTIVITY_TIMEOUT_S = 1
"""Minimum inactivity timeout: the shortest that the field can express. A larger minimum would raise the timeouts that hosts ask
for."""

DEFAULT_INACTIVITY_TIMEOUT_S = 120
"""Default inactivity timeout of a token: longer than the failure of a path. Normally a few milliseconds pass between two
commands of one copy, but up to 75 s on a host that waits for a failed path. Windows deletes no token, so every token of a copy
lives at least this long; a longer timeout would keep blocks for nothing."""

MAX_INACTIVITY_TIMEOUT_S = 3600
"""Maximum inactivity timeout that a host may ask for: an hour, in which a person can pass on a token by hand. A forgotten token
frees its blocks afterwards."""

MAX_TOKEN_LIFETIME_S = 86_400
"""Maximum lifetime of a token, however often it is used. A token keeps all blocks that have been overwritten meanwhile."""

COMMAND_BUDGET_S = 4.0
"""Time limit of a synchronous command (copy-budget): after it, Windows treats an array as slow. Nested hosts time out in less
than 60 s."""

ANSWER_RESERVE_S = 0.25
"""Part of the command budget that is reserved for the commit, the response and the network."""

MAX_TOKENS = 65_536
"""Maximum number of tokens: enough for 16 TiB in chunks of 256 MiB, or for 500 small files a second at the default timeout."""

TOKEN_MEMORY_BYTES = 3 << 10
"""Approximate memory of one token with its ranges, without the frozen map."""

MAX_CHANGE_VULNERABLE_TOKENS = 256
"""Maximum number of change vulnerable tokens per logical unit. A write to a block of one of them examines all of them, and may
have to end them all. This takes some milliseconds for 256."""

MIN_TOMBSTONE_S = 3600
"""Minimum time for which the cause of a token's end is kept. Otherwise it is kept for twice the token's life."""

MAX_TOMBSTONES = 65_536
"""Maximum number of ended tokens whose cause is kept. The oldest are dropped first; their tokens are then unknown."""

TOMBSTONE_MEMORY_BYTES = 200
"""Approximate memory for the cause of one ended token."""

MAX_RECORDS_PER_NEXUS = 255
"""Maximum number of records of a nexus: a few times the command window of a session. Windows leaves a record for every WRITE
USING TOKEN and never asks for it."""

MAX_RECORD_BYTES = 16 << 20
"""Maximum memory for the records of all nexuses: enough for 64 sessions with full tables of records that hold a token."""

RECORD_OVERHEAD_BYTES = 512
"""Memory of a record, besides its sense data and token: the object and its entries in tables."""

RECORD_LIFETIME_S = 300.0
"""Time for which a host can ask for the result of a copy. A host asks at once or, after a path failure, within 75 s: its
command timeout of 60 s plus the 15 s of its transport. This limit is a few times as long."""

MAX_CONCURRENT_COPIES = 1024
"""Maximum number of operations under way for all nexuses: far more than 64 sessions start, and few enough that each operation
gets its turn of the event loop within its time budget."""

COPY_STEP_BYTES = 1 << 20
"""Size of a step that reads and writes. Between two steps other tasks run, and aborts are noticed."""

REMAP_STEP_BYTES = 1 << 30
"""Size of a step that shares map entries or makes holes, which takes well under a millisecond."""

STATUS_UPDATE_DELAY_MS = 100
"""Delay after which an initiator should ask for progress again; a few steps are done in this time."""

STEPS_ON_THE_WAY = 100
"""Steps that one command spends on removing expired tokens and records; most of them are removed in the background."""

REFUSALS_KEPT = 64
"""Number of refusals whose reasons are kept for people; the latest ones are kept."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """The limits of one copy manager. Raises ValueError if they contradict each other or do not fit a field of VPD page 8Fh."""

    max_range_descriptors: int = MAX_RANGE_DESCRIPTORS
    max_rod_bytes: int = MAX_ROD_BYTES
    """Maximum per token and per command. If it is 0, the transfer limit of VPD page B0h applies to each range instead."""
    max_range_bytes: int = MAX_RANGE_BYTES
    optimal_transfer_bytes: int = OPTIMAL_TRANSFER_BYTES
    """0 means "not reported"."""
    min_inactivity_timeout_s: int = MIN_INACTIVITY_TIMEOUT_S
    default_inactivity_timeout_s: int = DEFAULT_INACTIVITY_TIMEOUT_S
    max_inactivity_timeout_s: int = MAX_INACTIVITY_TIMEOUT_S
    max_token_lifetime_s: int = MAX_TOKEN_LIFETIME_S
    command_budget_s: float = COMMAND_BUDGET_S
    answer_reserve_s: float = ANSWER_RESERVE_S
    max_tokens: int = MAX_TOKENS
    max_change_vulnerable_tokens: int = MAX_CHANGE_VULNERABLE_TOKENS
    """Maximum per logical unit."""
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
    """Options that the owner of an array can set.

    `lenient_lookup`: RECEIVE ROD TOKEN INFORMATION also finds a result of another nexus of the same initiator, because
    multipath drivers may send this command over another path than the copy command.

    `token_causes_reported`: report why a token is invalid; if False, the sense data is always "cause not reportable".

    `zero_token_accepted`: accept the block device zero token.
    """

    lenient_lookup: bool = True
    token_causes_reported: bool = True
    zero_token_accepted: bool = True


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"copy limits: {what}")
