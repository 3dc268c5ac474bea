"""A host copies by a token of another array while the link and the arrays fail. One seed decides everything.

`python -m tests.replica.remote_tokens.play FIRST COUNT` plays seeds, and prints those that fail.
"""

import sys
from collections import Counter
from collections.abc import Callable
from random import Random

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.environment import Buffer
from odx_target.scsi.reply import Reply
from odx_target.store.api import BLOCK_BYTES
from tests.copymgr.array import code_of
from tests.replica.remote_tokens.arrays import BLOCK_LENGTHS, Copier, Range, TokenArrays
from tests.sim.network import SimulatedLink
from tests.sim.world import World

MAX_COMMANDS = 60
"""Number of commands after which the network is repaired."""

SIZE_BYTES = 1024 * BLOCK_BYTES
"""Size of each LUN."""

CUT, UNREACHABLE, UNKNOWN = "A/0D/04", "A/0D/02", "5/23/04"


def chunks(data: Buffer, size_bytes: int) -> list[Buffer]:
    return [data[at : at + size_bytes] for at in range(0, len(data), size_bytes)]


def content(random: Random, size_bytes: int) -> bytes:
    """Return bytes of which a part is zeros, a part repeats, and a part cannot be compressed."""
    kinds = [lambda: random.randbytes(BLOCK_BYTES), lambda: bytes(BLOCK_BYTES), lambda: random.randbytes(64) * 64]
    return b"".join(random.choice(kinds)() for _ in range(-(-size_bytes // BLOCK_BYTES)))[:size_bytes]


class Play:
    """One copy with random ranges and faults. `run` raises an exception if a promise is broken."""

    def __init__(self, seed: int, world: World | None = None) -> None:
        self.arrays = TokenArrays(seed, size_blocks=SIZE_BYTES // BLOCK_BYTES, world=world)
        self.random = random = self.arrays.world.random
        self.outcomes: Counter[str] = Counter()
        self.uncertain_end = 0
        """Number of blocks of the copy that a command without a reply may have written."""
        source, self.lun = random.choice([0, 1]), random.choice([0, 1])
        self.source_data = content(random, SIZE_BYTES)
        for at in range(0, len(self.source_data), 1 << 20):
            self.arrays.maker.write(source, at // BLOCK_LENGTHS[source], self.source_data[at : at + (1 << 20)])
        ranges = self._ranges(BLOCK_LENGTHS[source], random.randint(1, 3))
        self.expected = b"".join(
            self.source_data[lba * BLOCK_LENGTHS[source] : (lba + count) * BLOCK_LENGTHS[source]] for lba, count in ranges
        )
        self.rod_type = random.choice([RodType.POINT_IN_TIME_DEFAULT, RodType.POINT_IN_TIME_PERSISTENT])
        self.token = self.arrays.maker.token(source, ranges, flags=ListFlag.RTV, rod_type=self.rod_type)
        self.arrays.maker.write(source, 0, bytes(1 << 20))
        self.former = random.randbytes(1 << 20)
        for lun in (self.lun, 1 - self.lun):
            self.arrays.redeemer.write(lun, 0, self.former)

    def _ranges(self, block_bytes: int, count: int) -> list[Range]:
        """Return random ranges that do not overlap."""
        limit = SIZE_BYTES // block_bytes
        starts = sorted(self.random.sample(range(limit - 1), count))
        ends = [*starts[1:], limit]
        ranges = [
            (start, self.random.randint(1, max(1, min(end - start, limit // 2))))
            for start, end in zip(starts, ends, strict=True)
        ]
        self.random.shuffle(ranges)
        return ranges

    def run(self) -> None:
        """Copy until all is copied, or until the maker does not know the token any more."""
        arrays, random = self.arrays, self.random
        arrays.network.on_connection = self._plan
        block_bytes = BLOCK_LENGTHS[self.lun]
        total = len(self.expected) // block_bytes
        start = random.randrange(1, 100)
        done = commands = 0
        while done < total:
            commands += 1
            if commands == MAX_COMMANDS:
                self._repair()
            self._disturb()
            wanted = min(total - done, random.choice([total, 1, 64, 1000]))
            begun = arrays.redeemer.begin_using(self.lun, self.token, [(start + done, wanted)], offset_into_rod=done)
            victim = random.choice([arrays.maker, arrays.redeemer, *[None] * 6]) if commands < MAX_COMMANDS else None
            if victim is not None:
                arrays.world.advance(random.choice([random.uniform(0, 0.1), random.uniform(0, 4.0)]))
            if victim is arrays.redeemer and not isinstance(begun, Reply) and not begun.done:
                self._restart(victim)  # The host gets no reply, and repeats the command.
                self.uncertain_end = max(self.uncertain_end, done + wanted)
                self._check(start, done)
                continue
            if victim is arrays.maker:
                self._restart(victim)
            copied = self._copied(arrays.redeemer.reply(begun), wanted)
            if copied is None:
                assert self.rod_type is RodType.POINT_IN_TIME_DEFAULT, "a persistent token stays"
                break
            done += copied
            self._check(start, done)
            assert commands < MAX_COMMANDS + 20, "a repaired network finishes the copy"
        self._repair()
        self._check(start, done)
        self._finish()

    def _copied(self, reply: Reply, wanted: int) -> int | None:
        """Return the number of blocks that a command has copied. None if the maker does not know the token."""
        code = code_of(reply)
        self.outcomes[code] += 1
        information = int.from_bytes(reply.sense[3:7], "big") if reply.sense else 0
        if code == "good":
            assert self.arrays.redeemer.result(self.lun) == (1, wanted)
            return wanted
        if code == CUT:
            assert 0 < information < wanted
            assert self.arrays.redeemer.result(self.lun) == (3, information)
            return information
        assert code in (UNREACHABLE, UNKNOWN), code
        assert self.arrays.redeemer.result(self.lun) == (2, 0)
        return None if code == UNKNOWN else 0

    def _check(self, start: int, done: int) -> None:
        """Check the blocks that are copied, and that all others are as before."""
        block_bytes = BLOCK_LENGTHS[self.lun]
        step = (1 << 20) // block_bytes
        found = b"".join(self.arrays.redeemer.read(self.lun, at, step) for at in range(0, SIZE_BYTES // block_bytes, step))
        first, copied = start * block_bytes, done * block_bytes
        wanted = bytearray(self.former.ljust(SIZE_BYTES, b"\0"))
        wanted[first : first + copied] = self.expected[:copied]
        for at in range(copied, self.uncertain_end * block_bytes, block_bytes):
            there, block = found[first + at : first + at + block_bytes], self.expected[at : at + block_bytes]
            if there == block:
                wanted[first + at : first + at + block_bytes] = block
        if found != wanted:
            pieces = zip(chunks(found, block_bytes), chunks(wanted, block_bytes), strict=True)
            wrong = [index for index, (there, block) in enumerate(pieces) if there != block]
            raise AssertionError(f"{len(wrong)} blocks from {wrong[0]} on are wrong, copied are {start} to {start + done}")

    def _plan(self, link: SimulatedLink) -> None:
        """Plan the fault of a new connection."""
        random = self.random
        direction = random.choice(link.ends).outgoing
        at = random.choice([random.randrange(3000), random.randrange(60_000), random.randrange(1_000_000)])
        kind = random.randrange(5)
        if kind < 2:
            direction.cut_after_bytes = at
        elif kind == 2:
            direction.lost_after_bytes = at

    def _disturb(self) -> None:
        """Plan what happens while the next command runs."""
        random, world, arrays = self.random, self.arrays.world, self.arrays
        line = arrays.network.line("one", "other")
        line.bytes_per_s = random.choice([None, 100_000, 400_000, 2_000_000])
        delay_s = random.choice([0.0, random.uniform(0, 0.1), random.uniform(0, 4.0)])
        kind = random.randrange(6)
        if kind < 3 and arrays.arrays.are_connected:
            link = arrays.arrays.used
            stall = random.choice(link.ends).outgoing
            acts: list[Callable[[], None]] = [
                lambda: link.cut(notices=random.choice([(True, True), (True, False), (False, False)])),
                lambda: link.stall(stall, random.uniform(0, 3)),
                link.cut,
            ]
            world.at(delay_s, acts[kind])

    def _restart(self, copier: Copier) -> None:
        self.arrays.world.run(copier.array.environment, copier.array.pool.flush())
        self.outcomes["restarts"] += 1
        self.arrays.restart(copier, power=self.random.random() < 0.5, after_s=self.random.uniform(0, 3))

    def _repair(self) -> None:
        """Repair the network, so that nothing fails from now on."""
        arrays = self.arrays
        arrays.network.on_connection = None
        line = arrays.network.line("one", "other")
        line.bytes_per_s, line.is_down = None, False
        if arrays.arrays.are_connected:
            arrays.arrays.used.cut()
        arrays.world.advance(0.2)
        arrays.arrays.connect()

    def _finish(self) -> None:
        self.arrays.assert_nothing_leaks()


def main(first: int, count: int) -> int:
    """Play seeds, and return the number of those that fail."""
    failed, outcomes, faults = [], Counter[str](), Counter[str]()
    for seed in range(first, first + count):
        play = None
        try:
            play = Play(seed)
            play.run()
        except Exception as error:
            sys.stdout.write(f"seed {seed}: {error!r}\n")
            failed.append(seed)
        if play is not None:
            outcomes += play.outcomes
            faults += play.arrays.world.faults
    sys.stdout.write(f"{count} seeds, {len(failed)} failed; replies {dict(outcomes)}; faults {dict(faults)}\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
