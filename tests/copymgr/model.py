"""A simple model of an array with a copy manager: a bytearray for each LUN, and lists.

The model shares nothing with the code under test except the numbers of `CopyLimits`. `progress` sets how far an operation has
come. The model itself decides which data this operation has written.
"""

from dataclasses import dataclass, field

from odx_target.copymgr.limits import CopyLimits

STORE_BLOCK = 4096
GOOD, UNKNOWN_IDENTIFIER = "good", "5/24/00"
DEFAULT, VULNERABLE, PERSISTENT, ANY = 0x0080_0000, 0x0080_0001, 0x0080_0002, 0x0080_FFFF
MADE = {DEFAULT: DEFAULT, VULNERABLE: VULNERABLE, PERSISTENT: PERSISTENT, ANY: PERSISTENT}
EXPIRED, CANCELLED, REVOKED, DELETED, FORGOTTEN = "5/23/07", "5/23/08", "5/23/06", "5/23/09", "5/23/04"

Range = tuple[int, int]


@dataclass(eq=False)
class ModelToken:
    lun: int
    rod_type: int
    rod: bytes
    ranges: list[Range]
    store_blocks: set[int]
    timeout_s: float
    created_s: float
    used_s: float = 0.0
    durable_used_s: float = 0.0
    issued: bool = False
    discarded: bool = False
    leases: int = 0
    end: str | None = None
    data: bytes | None = None
    """The 512 bytes of the token, after an initiator has received them."""


@dataclass(eq=False)
class ModelOperation:
    kind: int
    nexus: object
    initiator: str
    lun: int
    list_identifier: int
    requested: int
    started_s: float
    in_background: bool
    token: ModelToken | None = None
    writes: list[int] = field(default_factory=list)
    """The blocks to write, in order, as far as the ROD has data for them."""
    rod: bytes | None = None
    """The data of the ROD; None for zeros."""
    delete: bool = False
    count: int = 0
    terminated: bool = False
    ended_s: float | None = None
    status: int = 0
    told: bool = False
    released: bool = False

    @property
    def under_way(self) -> bool:
        return self.ended_s is None and not self.terminated

    @property
    def shown_status(self) -> int:
        if self.terminated:
            return 0x60
        return self.status if self.ended_s is not None else 0x12 if self.in_background else 0x11

    @property
    def shows_token(self) -> bool:
        return self.token is not None and self.kind == 0x10 and self.shown_status == 1 and not self.released


class Model:
    """The whole array. Times are the times of the test's clock."""

    def __init__(self, limits: CopyLimits, block_lengths: tuple[int, ...], size_store_blocks: int) -> None:
        self.limits = limits
        self.block_lengths = block_lengths
        self.size_store_blocks = size_store_blocks
        self.luns = [bytearray(size_store_blocks * STORE_BLOCK) for _ in block_lengths]
        self.tokens: list[ModelToken] = []
        self.running: list[ModelOperation] = []
        self.records: list[ModelOperation] = []

    # Time.

    def settle_time(self, now_s: float) -> None:
        """Expire the tokens and records whose time is over."""
        for token in self.tokens:
            last_s = min(token.used_s + token.timeout_s, token.created_s + self.limits.max_token_lifetime_s)
            if token.end is None and token.issued and not token.leases and now_s >= last_s:
                token.end = EXPIRED

    def expire_records(self, now_s: float) -> None:
        kept = [
            record
            for record in self.records
            if record.ended_s is None or now_s < record.ended_s + self.limits.record_lifetime_s
        ]
        self.records = kept

    # Blocks.

    def capacity(self, lun: int) -> int:
        return self.size_store_blocks * STORE_BLOCK // self.block_lengths[lun]

    def change(self, lun: int, lba: int, data: bytes) -> None:
        start = lba * self.block_lengths[lun]
        self.luns[lun][start : start + len(data)] = data

    def announced(self, lun: int, block: int, count: int, now_s: float) -> None:
        """End the vulnerable tokens of blocks that the store is about to write, even if the blocks do not change."""
        self.settle_time(now_s)
        changed = set(range(block, block + count))
        for token in self.tokens:
            if token.end is None and token.rod_type == VULNERABLE and token.lun == lun and token.store_blocks & changed:
                token.end = CANCELLED

    def assert_vulnerable_tokens_are_true(self) -> None:
        """Check that the data of every live change vulnerable token is still on its LUN."""
        for token in self.tokens:
            if token.end is None and not token.discarded and token.rod_type == VULNERABLE:
                assert token.rod == self.rod_of(token.lun, token.ranges)

    def rod_of(self, lun: int, ranges: list[Range]) -> bytes:
        size = self.block_lengths[lun]
        return b"".join(bytes(self.luns[lun][lba * size : (lba + count) * size]) for lba, count in ranges)

    # Checks.

    def check_ranges(self, lun: int, ranges: list[Range], rod_type: int | None, timeout_s: int) -> str:
        size = self.block_lengths[lun]
        if not ranges:
            return "5/26/00"
        if len(ranges) > self.limits.max_range_descriptors:
            return "5/26/08"
        if timeout_s > self.limits.max_inactivity_timeout_s:
            return "5/26/00"
        if rod_type is not None and rod_type not in MADE:
            return "5/26/00"
        named = [block for lba, count in ranges for block in range(lba, lba + count)]
        if len(named) != len(set(named)) or len(named) * size > self.limits.max_rod_bytes:
            return "5/26/00"
        if any(count * size > self.limits.max_range_bytes for _, count in ranges):
            return "5/26/00"
        if any(lba + count > self.capacity(lun) for lba, count in ranges):
            return "5/21/00"
        return GOOD

    def check_room(self, nexus: object) -> str:
        full = len(self.running) >= self.limits.max_concurrent_copies
        mine = [record for record in self.records if record.nexus is nexus]
        if len(mine) >= self.limits.max_records_per_nexus and all(record.under_way for record in mine):
            full = True
        return "B/55/03" if full else GOOD

    # Commands, at the moment at which they take effect.

    def populate(
        self, operation: ModelOperation, ranges: list[Range], rod_type: int | None, timeout_s: int, now_s: float
    ) -> str:
        self.settle_time(now_s)
        if self.is_in_progress(operation):
            return "5/00/16"
        code = self.check_ranges(operation.lun, ranges, rod_type, timeout_s)
        if code == GOOD:
            code = self.check_room(operation.nexus)
        if code == GOOD and operation.requested:
            made = DEFAULT if rod_type is None else MADE[rod_type]
            code = self.check_tokens(operation.lun, made)
            if code == GOOD:
                operation.token = self.make_token(operation, ranges, made, timeout_s, now_s)
        if code == GOOD:
            self.begin(operation, now_s)
        return code

    def check_tokens(self, lun: int, rod_type: int) -> str:
        alive = [token for token in self.tokens if token.end is None and not token.discarded]
        vulnerable = [token for token in alive if token.rod_type == VULNERABLE and token.lun == lun]
        full = len(alive) >= self.limits.max_tokens
        if rod_type == VULNERABLE and len(vulnerable) >= self.limits.max_change_vulnerable_tokens:
            full = True
        return "B/55/03" if full else GOOD

    def make_token(
        self, operation: ModelOperation, ranges: list[Range], rod_type: int, timeout_s: int, now_s: float
    ) -> ModelToken:
        size = self.block_lengths[operation.lun]
        lives_s = max(timeout_s or self.limits.default_inactivity_timeout_s, self.limits.min_inactivity_timeout_s)
        blocks = {block * size // STORE_BLOCK for lba, count in ranges for block in range(lba, lba + count)}
        rod = self.rod_of(operation.lun, ranges)
        token = ModelToken(operation.lun, rod_type, rod, ranges, blocks, lives_s, now_s, now_s, now_s)
        self.tokens.append(token)
        return token

    def write_using(
        self, operation: ModelOperation, token: ModelToken | str | None, ranges: list[Range], offset: int, now_s: float
    ) -> str:
        """WRITE USING TOKEN. `token` is None for the zero token, and a sense code for an invalid token."""
        self.settle_time(now_s)
        if self.is_in_progress(operation):
            return "5/00/16"
        code = self.check_ranges(operation.lun, ranges, None, 0)
        if code != GOOD:
            return code
        if isinstance(token, str):
            return token
        size = self.block_lengths[operation.lun]
        blocks = [block for lba, count in ranges for block in range(lba, lba + count)]
        if token is not None:
            if token.end is not None:
                return token.end
            if offset * size >= len(token.rod):
                return "5/26/00"
            operation.rod = token.rod[offset * size :]
            blocks = blocks[: -(-len(operation.rod) // size)]
        code = self.check_room(operation.nexus)
        if code == GOOD:
            operation.writes = blocks
            operation.token = token
            if token is not None:
                token.leases += 1
            self.begin(operation, now_s)
        return code

    # Operations.

    def is_in_progress(self, operation: ModelOperation) -> bool:
        return any(record.under_way for record in self.same_identifier(operation))

    def same_identifier(self, operation: ModelOperation) -> list[ModelOperation]:
        key = (operation.nexus, operation.lun, operation.list_identifier)
        return [record for record in self.records if (record.nexus, record.lun, record.list_identifier) == key]

    def begin(self, operation: ModelOperation, now_s: float) -> None:
        self.expire_records(now_s)
        for record in self.same_identifier(operation):
            self.records.remove(record)
        while len([record for record in self.records if record.nexus is operation.nexus]) >= (
            self.limits.max_records_per_nexus
        ):
            self.evict(operation.nexus)
        operation.started_s = now_s
        self.records.append(operation)
        self.running.append(operation)

    def evict(self, nexus: object) -> None:
        mine = [record for record in self.records if record.nexus is nexus and not record.under_way]
        writes = [record for record in mine if record.kind == 0x11]
        told = [record for record in mine if record.told or not record.shows_token]
        self.records.remove((writes or told or mine)[0])

    def progress(self, operation: ModelOperation, count: int) -> None:
        """Record that the operation has written `count` blocks. A terminated operation must not write any more."""
        assert not operation.terminated, "written after its end"
        assert operation.count <= count <= len(operation.writes)
        size = self.block_lengths[operation.lun]
        for index in range(operation.count, count):
            data = bytes(size) if operation.rod is None else operation.rod[index * size : (index + 1) * size]
            self.change(operation.lun, operation.writes[index], data.ljust(size, b"\0"))
        operation.count = count

    def ended(self, operation: ModelOperation, now_s: float, out_of_time: bool) -> None:
        """Record the end of an operation. Its job does nothing more."""
        self.running.remove(operation)
        operation.ended_s = now_s
        token = operation.token
        if operation.kind == 0x10:
            self.populate_ended(operation, now_s)
            return
        if not operation.terminated:
            operation.status = 1 if operation.count == operation.requested else 3
        if token is None:
            return
        if operation.delete and not operation.terminated and not out_of_time and token.end is None:
            token.end = DELETED
        token.leases -= 1
        token.used_s = now_s
        self.touch(token)

    def populate_ended(self, operation: ModelOperation, now_s: float) -> None:
        token = operation.token
        if operation.terminated:
            if token is not None:
                token.discarded = True
            return
        operation.status, operation.count = 1, operation.requested
        if token is not None:
            token.issued, token.used_s = True, now_s
            self.touch(token)

    def touch(self, token: ModelToken) -> None:
        """Store a persistent token again if a quarter of its timeout has passed since it was last stored."""
        if token.end is None and token.used_s - token.durable_used_s >= token.timeout_s / 4:
            token.durable_used_s = token.used_s

    def terminate(self, operations: list[ModelOperation]) -> None:
        for operation in operations:
            if operation.under_way:
                operation.terminated = True

    # Questions.

    def find(self, nexus: object, lun: int, list_identifier: int) -> ModelOperation | None:
        found = [
            record
            for record in self.records
            if record.nexus is nexus and (record.lun, record.list_identifier) == (lun, list_identifier)
        ]
        return found[0] if found else None

    def find_leniently(self, nexus: object, initiator: str, lun: int, list_identifier: int) -> ModelOperation | None:
        others = [
            record
            for record in self.records
            if record.initiator == initiator and (record.lun, record.list_identifier) == (lun, list_identifier)
        ]
        return self.find(nexus, lun, list_identifier) or (others[-1] if others else None)

    def listed(self, lun: int, now_s: float) -> list[ModelToken]:
        self.settle_time(now_s)
        return [token for token in self.tokens if token.issued and token.end is None and token.lun == lun]

    # Ends of everything.

    def drop_records(self, *, nexus: object = None, lun: int | None = None) -> None:
        self.records = [record for record in self.records if not (record.nexus is nexus if lun is None else record.lun == lun)]

    def restart(self, now_s: float) -> None:
        """Forget all tokens that are not persistent, and the causes of tokens' ends."""
        self.settle_time(now_s)
        assert not self.running
        self.records = []
        for token in self.tokens:
            if token.end is not None or not token.issued or token.rod_type != PERSISTENT:
                token.end = FORGOTTEN
            else:
                token.used_s = token.durable_used_s
        self.settle_time(now_s)
