"""The steps that make and redeem tokens."""

import numpy as np

from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from odx_target.scsi.reply import Reply
from tests.torture import host_commands as cdb
from tests.torture.array import LIMITS, outcome_of
from tests.torture.extents import cells_of, extents
from tests.torture.model import CELLS_OF_A_BLOCK, Cells, Change, Indexes, TokenContent, zeros
from tests.torture.run import Difference, Run

ROD_TYPES = (0, 0x0080_0001, 0x0080_0002)
"""The type is not named, change vulnerable, persistent."""

TOKEN_BYTES = 512
TOKEN_AT = 38
TRANSFER_COUNT = slice(16, 24)
MAX_TOKENS = 24
NO_ROOM_FOR_A_TOKEN = "5/55/0D"
"""INSUFFICIENT RESOURCES TO CREATE ROD TOKEN, which a full pool and a disk without room cause."""

INVALID = {f"5/23/{code:02X}" for code in (4, 6, 7, 8, 9)}
PARTIAL = {"A/0D/04", "4/03/00", "B/0C/00", "B/11/00", "7/27/07"}
MARGIN_S = 30.0
"""Time for which a token is not used before it may expire, because a command may take long in a full pool."""


def populate(run: Run, lun: int, ranges: list[list[int]], kind: int, timeout_s: int) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    fitted = extents(volume, ranges)
    indexes = cells_of(fitted, volume.unit)
    run.wait_for_cells(f"v{lun}", indexes)
    number = run.next_list
    run.next_list += 1
    run.counts.commands += 1
    command, data = cdb.populate(number, fitted, ROD_TYPES[kind], timeout_s)
    outcome = outcome_of(run.array.command(lun, command, data))
    run.check_outcome(outcome, NO_ROOM_FOR_A_TOKEN, *({"B/55/03"} if kind == 1 else ()))
    if outcome != "good" or not run.acknowledge():
        return
    information = run.array.command(lun, cdb.information(number))
    data = b"".join(information.data_in)
    if information.status or len(data) != TOKEN_AT + TOKEN_BYTES:
        raise Difference(f"no token was made: {outcome_of(information)}, {len(data)} bytes")
    life_s = float(timeout_s or LIMITS.default_inactivity_timeout_s)
    run.mark()
    run.acknowledge()
    cells = run.now.volumes[f"v{lun}"].cells[indexes]
    now_s = run.array.environment.now_s
    token = TokenContent(
        data[TOKEN_AT:], cells, f"v{lun}", kind == 2, kind == 1, life_s, now_s + life_s, now_s, run.history.committed
    )
    run.tokens = [*run.tokens, token][-MAX_TOKENS:]


def redeem(run: Run, pick: int, lun: int, ranges: list[list[int]], offset: int, delete: int, waits: int) -> None:
    volume = run.lun(lun)
    if volume is None or not run.tokens:
        return
    token = run.tokens[-1 - pick % len(run.tokens)]
    unit = volume.unit
    fitted = extents(volume, ranges)
    source = padded(token.cells, unit)[offset * unit :]
    if not len(source):
        offset, source = 0, padded(token.cells, unit)
    indexes = cells_of(fitted, unit)[: len(source)]
    change = Change(f"v{lun}", indexes, source[: len(indexes)])
    asked_blocks = sum(count for _, count in fitted)
    number = run.next_list
    run.next_list += 1
    began_s = run.array.environment.now_s
    is_valid = began_s + MARGIN_S < token.valid_until_s and not token.may_have_ended
    is_valid &= not (token.is_vulnerable and (token.was_written or token.volume == change.volume))
    had_ended = token.has_ended
    token.may_have_ended |= bool(delete)

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome, *INVALID, *PARTIAL)
        if outcome in INVALID and is_valid and not run.may_fail:
            raise Difference(f"a valid token was refused with {outcome}")
        if outcome in INVALID or outcome == "busy":
            return np.zeros(len(indexes), dtype=bool)  # type: ignore[return-value]
        if had_ended:
            raise Difference("a deleted token was accepted")
        if not token.may_have_ended:
            token.valid_until_s = max(token.valid_until_s, began_s + token.timeout_s)
        token.has_ended |= bool(delete) and outcome == "good"
        count = asked_blocks if outcome == "good" else transfer_count(run, lun, number)
        if outcome == "good" and asked_blocks * unit > len(source):
            raise Difference("a copy of more data than the token has ended well")
        if count is None:
            return None
        done = np.zeros(len(indexes), dtype=bool)
        done[: count * unit] = True
        return done  # type: ignore[return-value]

    command, data = cdb.write_using(number, fitted, token.data, offset, delete=bool(delete))
    run.begin(lun, command, data, change, finish, waits=waits or delete)


def transfer_count(run: Run, lun: int, number: int) -> int | None:
    """Return the number of blocks that a copy has written. Returns None if the array has no record of the copy."""
    reply = run.array.command(lun, cdb.information(number))
    return int.from_bytes(b"".join(reply.data_in)[TRANSFER_COUNT], "big") if reply.status == 0 else None


def write_zeros(run: Run, lun: int, ranges: list[list[int]], waits: int) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    fitted = extents(volume, ranges)
    indexes = cells_of(fitted, volume.unit)
    change = Change(f"v{lun}", indexes, zeros(len(indexes)))
    number = run.next_list
    run.next_list += 1

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome, *PARTIAL)
        return np.ones(len(indexes), dtype=bool) if outcome == "good" else None  # type: ignore[return-value]

    command, data = cdb.write_using(number, fitted, ZERO_TOKEN, 0, delete=False)
    run.begin(lun, command, data, change, finish, waits=waits)


def padded(cells: Cells, unit: int) -> Cells:
    """Return the cells of a token up to a whole logical block of the destination."""
    missing = -len(cells) % unit
    assert missing < CELLS_OF_A_BLOCK
    return np.concatenate([cells, zeros(missing)]) if missing else cells


def key_of(token: TokenContent) -> str:
    """Return the key under which the pool remembers a persistent token."""
    return f"copymgr/token/{int.from_bytes(token.data[8:16], 'big'):016x}"


def restarted(run: Run, least: int) -> None:
    """Forget the tokens that a restart ends. Raises Difference if a persistent token is lost.

    The tokens that were made up to the moment `least` must be there.
    """
    kept = []
    now_s = run.array.environment.now_s
    for token in run.tokens:
        if not token.is_persistent or token.may_have_ended or not token.survives_restart:
            continue
        is_there = run.array.pool.remembered(key_of(token)) is not None
        token.valid_until_s = min(token.valid_until_s, token.made_s + token.timeout_s)
        if is_there:
            kept.append(token)
        elif token.created <= least and now_s + MARGIN_S < token.valid_until_s:
            raise Difference("a persistent token is lost")
    run.tokens = kept


Run.ACTIONS.update(populate=populate, redeem=redeem, write_zeros=write_zeros)
