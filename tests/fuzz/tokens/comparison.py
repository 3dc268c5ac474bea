"""Compares the array with the naive judge: changed tokens, each presented by a WRITE USING TOKEN."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_write_using_token
from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.reply import Reply
from tests.copymgr.array import CopyArray, code_of, out_cdb
from tests.fuzz.tokens.naive_judge import NaiveJudge
from tests.fuzz.values import changed_bytes

MAX_DIFFERENCES = 10
"""Number of differences after which the comparison ends."""
TOKEN_OFFSET = 16
"""Offset of the token in the parameter list of WRITE USING TOKEN."""
INTERESTING = (*range(8), *range(16, 48), *range(256, 272))
"""The bytes that decide about the outcome: type, length, identifier, creator and maker."""


@dataclass
class Compared:
    """Number of tokens by outcome, and descriptions of the tokens about which the judges disagree."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


class TokenShop:
    """An array with tokens of every fate, and the naive judge that knows these fates."""

    def __init__(self) -> None:
        self.array = CopyArray(CopyLimits(min_tombstone_s=1e9))
        self._number = 0
        self._list = encode_write_using_token(bytes(512), [(0, 8)])  # encoded once, because this takes most of the time
        made: dict[bytes, str] = {}
        self.live = [self._make(0), self._make(2)]
        made.update((token, "good") for token in self.live)
        revoked, deleted, vulnerable = self._make(0), self._make(0), self._make(0, rod_type=0x0080_0001)
        expired = self._make(0, inactivity_timeout_s=10)
        assert self.array.manager.revoke(int.from_bytes(revoked[8:16], "big"))
        assert code_of(self.use(deleted, flags=ListFlag.DEL_TKN)) == "good"
        self.array.write(0, 0, bytes(512))
        self.array.environment.advance(10)
        made |= {revoked: "5/23/06", expired: "5/23/07", vulnerable: "5/23/08", deleted: "5/23/09"}
        self.tokens = [*made]
        self.foreign = [CopyArray(seed=7).token(0, 1, [(0, 8)])]
        identities = {unit.identity for unit in self.array.logical_units.values()}
        self.judge = NaiveJudge(made, self.live[0][256:272], identities)

    def _make(self, lun: int, **fields: int) -> bytes:
        self._number += 1
        if "rod_type" in fields:
            fields["flags"] = ListFlag.RTV
        return self.array.token(lun, self._number, [(0, 8)], **fields)

    def use(self, token: bytes, flags: int = 0) -> Reply:
        """Present a token by a WRITE USING TOKEN."""
        head = self._list[:2] + bytes((flags,)) + self._list[3:TOKEN_OFFSET]
        content = head + token + self._list[TOKEN_OFFSET + len(token) :]
        return self.array.start(1, out_cdb(0x11, 99, len(content)), content).wait(self.array.environment)

    def changed(self, random: Random) -> bytes:
        """Return a token after a change: of bits, of fields, parts of two tokens, or another text of bytes."""
        token = bytearray(random.choice((*self.tokens, *self.live, *self.foreign)))
        kind = random.randrange(8)
        if kind < 3:
            for _ in range(random.choice((1, 1, 2, 8))):
                token[random.randrange(512)] ^= 1 << random.randrange(8)
        elif kind < 5:
            token[random.choice(INTERESTING)] = random.choice(
                (0, 1, 2, 3, 8, 16, 0x80, 0xE4, 0xF8, 0xFF, random.randrange(256))
            )
        elif kind == 5:
            start, end = sorted(random.choice((0, 4, 8, 16, 48, 128, 256, 272, 304, 480, 512)) for _ in range(2))
            token[start:end] = random.choice((*self.tokens, *self.foreign))[start:end]
        elif kind == 6:
            start, end = sorted(random.choice((0, 4, 8, 16, 48, 128, 256, 272, 304, 480, 512)) for _ in range(2))
            token[start:end] = random.choice((bytes(512), random.randbytes(512), b"\xff" * 512))[start:end]
        else:
            token = bytearray(changed_bytes(random, bytes(token)))
        if random.randrange(40) == 0:
            token[0:4] = random.choice((b"\xff\xff\0\1", b"\0\x80\0\0", b"\0\x80\xff\xff", b"\0\1\0\0"))
        return bytes(token[:512].ljust(512, b"\0"))


def compare_tokens(count: int, seed: int) -> Compared:
    """Present `count` changed tokens to the array, and compare each outcome with that of the naive judge."""
    shop, random, found = TokenShop(), Random(seed), Compared()
    for _ in range(count):
        token = shop.changed(random)
        expected = shop.judge.judge(token)
        outcome = code_of(shop.use(token))
        found.counts[outcome] += 1
        if outcome != expected:
            found.differences.append(f"{outcome} instead of {expected}: {token.hex()}")
            if len(found.differences) >= MAX_DIFFERENCES:
                break
    CopyArray.close_all()
    return found
