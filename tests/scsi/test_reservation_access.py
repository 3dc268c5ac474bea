"""Rights under a reservation: each type, each kind of host, each kind of command; and the order of reported conditions."""

import pytest

from odx_target.scsi.access_kind import Access
from odx_target.scsi.command_table import CommandFlag, CommandRow, Entry
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.conflicts import ReservationType
from tests.scsi.array import code_of
from tests.scsi.reserving import (
    BLOCK,
    CONFLICT,
    EA,
    EA_AR,
    EA_RO,
    PREEMPT,
    READ,
    REGISTER,
    RESERVATIONS_RELEASED,
    RESERVE,
    TEST_UNIT_READY,
    TYPES,
    WE,
    WE_AR,
    WE_RO,
    WRITE,
    Cluster,
)

HOLDER, REGISTRANT, STRANGER = range(3)

COMMANDS: dict[str, list[tuple[str, bytes]]] = {
    "allowed": [
        (TEST_UNIT_READY, b""),
        ("12 00 00 00 ff 00", b""),
        ("03 00 00 00 12 00", b""),
        ("a0 00 00 00 00 00 00 00 10 00 00 00", b""),
        ("25 00 00 00 00 00 00 00 00 00", b""),
        ("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", b""),
        ("4d 00 40 00 00 00 00 00 ff 00", b""),
        ("1b 00 00 00 01 00", b""),
        ("5e 00 00 00 00 00 00 00 ff 00", b""),
    ],
    "read": [
        (READ, b""),
        ("88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", b""),
        ("2f 00 00 00 00 00 00 00 01 00", b""),
        ("9e 12 00 00 00 00 00 00 00 00 00 00 00 ff 00 00", b""),
        ("1a 00 3f 00 ff 00", b""),
        ("a3 0c 00 00 00 00 00 00 00 ff 00 00", b""),
        ("a3 0d 00 00 00 00 00 00 00 ff 00 00", b""),
    ],
    "write": [
        (WRITE, BLOCK),
        ("8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", BLOCK),
        ("89 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", b""),
        ("42 00 00 00 00 00 00 00 00 00", b""),
        ("93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", BLOCK),
        ("35 00 00 00 00 00 00 00 00 00", b""),
        ("91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", b""),
        ("1b 00 00 00 00 00", b""),
    ],
}

# Type: rights of the holder, of another registered nexus, and of all others (SPC-4 table 65, SBC-3 table 13).
MATRIX: dict[int, tuple[set[str], set[str], set[str]]] = {
    WE: ({"allowed", "read", "write"}, {"allowed", "read"}, {"allowed", "read"}),
    EA: ({"allowed", "read", "write"}, {"allowed"}, {"allowed"}),
    WE_RO: ({"allowed", "read", "write"}, {"allowed", "read", "write"}, {"allowed", "read"}),
    EA_RO: ({"allowed", "read", "write"}, {"allowed", "read", "write"}, {"allowed"}),
    WE_AR: ({"allowed", "read", "write"}, {"allowed", "read", "write"}, {"allowed", "read"}),
    EA_AR: ({"allowed", "read", "write"}, {"allowed", "read", "write"}, {"allowed"}),
}


def reserved(kind: int) -> Cluster:
    """Return a cluster in which host 0 has reserved, host 1 is registered, and host 2 is not registered."""
    cluster = Cluster(3)
    cluster.register(HOLDER, REGISTRANT)
    cluster.reserve(HOLDER, kind)
    return cluster


@pytest.mark.parametrize("kind", MATRIX)
@pytest.mark.parametrize("host", [HOLDER, REGISTRANT, STRANGER], ids=["holder", "registrant", "stranger"])
@pytest.mark.parametrize("what", COMMANDS)
def test_who_may_do_what(kind: int, host: int, what: str) -> None:
    cluster = reserved(kind)
    for cdb, data in COMMANDS[what]:
        reply = cluster.command(cdb, data, nexus=cluster.hosts[host])
        assert reply.status == (0 if what in MATRIX[kind][host] else CONFLICT), cdb
        cluster.logical_unit.stopped = False
    assert (not cluster.volume.writes) == (what != "write" or what not in MATRIX[kind][host])
    assert not cluster.internal_errors


@pytest.mark.parametrize("what", COMMANDS)
def test_without_a_reservation_everybody_may_do_everything(what: str) -> None:
    cluster = Cluster(2)
    cluster.register(0)
    for cdb, data in COMMANDS[what]:
        assert cluster.command(cdb, data, nexus=cluster.hosts[1]).status == 0
        cluster.logical_unit.stopped = False


def test_a_conflict_has_neither_data_nor_sense() -> None:
    reply = (cluster := reserved(EA)).command(READ, nexus=cluster.hosts[STRANGER])
    assert reply == Reply(CONFLICT)


def test_every_type_is_tried() -> None:
    assert set(MATRIX) == set(TYPES) == set(ReservationType)


@pytest.mark.parametrize(
    ("cdb", "access"),
    [
        ("1b 00 00 00 01 00", Access.ALWAYS_ALLOWED),
        ("1b 01 00 00 01 00", Access.ALWAYS_ALLOWED),
        ("1b 00 00 00 00 00", Access.WRITES),
        ("1b 00 00 00 11 00", Access.WRITES),
        ("1b 00 00 00 31 00", Access.WRITES),
        ("1b 00 00 00", Access.WRITES),
    ],
)
def test_to_start_is_allowed_and_to_stop_is_not(cdb: str, access: Access) -> None:
    entry = Cluster(0).server.commands.find(bytes.fromhex(cdb))
    assert entry.access_of(bytes.fromhex(cdb)) is access


@pytest.mark.parametrize(
    ("flags", "access", "expected"),
    [
        (CommandFlag.READS_MEDIUM, None, Access.READS),
        (CommandFlag.WRITES_MEDIUM, None, Access.WRITES),
        (CommandFlag.READS_MEDIUM | CommandFlag.WRITES_MEDIUM, None, Access.WRITES),
        (CommandFlag.NOT_ORDERED, None, Access.WRITES),
        (CommandFlag.READS_MEDIUM, Access.WRITES, Access.WRITES),
        (CommandFlag.WRITES_MEDIUM, Access.ALLOWED, Access.ALLOWED),
        (CommandFlag.NONE, lambda cdb: Access.READS, Access.READS),
    ],
)
def test_a_row_that_says_nothing_is_kept_out_unless_it_only_reads(flags, access, expected) -> None:
    entry = Entry(CommandRow("ONE", 0xC0, bytes(6), lambda task: Reply(), flags=flags, access=access))
    assert entry.access_of(bytes(6)) is expected


# The order of reports (SAM-5 5.3.3): a reset, then a conflict, then any other unit attention.


def test_a_reset_is_told_before_a_conflict() -> None:
    cluster = reserved(WE)
    cluster.server.reset_logical_unit(cluster.logical_unit, None)
    assert code_of(cluster.command(WRITE, BLOCK, nexus=cluster.hosts[STRANGER])) == (6, 0x29, 3)
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[STRANGER]).status == CONFLICT


def test_a_conflict_is_told_before_other_attentions_and_does_not_clear_them() -> None:
    cluster = reserved(EA)
    cluster.server.capacity_changed(cluster.logical_unit)
    for _ in range(2):
        assert cluster.command(READ, nexus=cluster.hosts[STRANGER]).status == CONFLICT
    assert code_of(cluster.command(TEST_UNIT_READY, nexus=cluster.hosts[STRANGER])) == (6, 0x2A, 9)
    assert cluster.command(TEST_UNIT_READY, nexus=cluster.hosts[STRANGER]).status == 0


def test_who_is_not_kept_out_is_told_attentions_as_ever() -> None:
    cluster = reserved(EA_RO)
    cluster.server.capacity_changed(cluster.logical_unit)
    assert code_of(cluster.command(READ, nexus=cluster.hosts[REGISTRANT])) == (6, 0x2A, 9)
    assert cluster.command(READ, nexus=cluster.hosts[REGISTRANT]).status == 0


def test_what_is_wrong_with_a_cdb_is_not_told_to_who_is_kept_out() -> None:
    cluster = reserved(EA)
    assert cluster.command("28 e0 00 00 00 00 00 00 01 00", nexus=cluster.hosts[STRANGER]).status == CONFLICT
    assert code_of(cluster.command("28 e0 00 00 00 00 00 00 01 00", nexus=cluster.hosts[HOLDER])) == (5, 0x24, 0)
    assert code_of(cluster.command("ff 00 00 00 00 00", nexus=cluster.hosts[STRANGER])) == (5, 0x20, 0)
    assert code_of(cluster.command("5e 1f 00 00 00 00 00 00 ff 00", nexus=cluster.hosts[STRANGER])) == (5, 0x24, 0)


def test_a_missing_unit_has_no_reservation() -> None:
    cluster = reserved(EA)
    assert code_of(cluster.command(READ, nexus=cluster.hosts[STRANGER], lun=5)) == (5, 0x25, 0)


def test_attention_of_a_preemption_waits_until_a_command_is_allowed() -> None:
    cluster = Cluster(2)
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    assert cluster.out(1, PREEMPT, 2, 1, kind=EA).status == 0
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[0]).status == CONFLICT
    assert code_of(cluster.command(TEST_UNIT_READY, nexus=cluster.hosts[0])) == (6, 0x2A, 5)


# The time of the check (SPC-4 5.13.1).


def test_what_has_begun_goes_on_and_what_waits_does_not() -> None:
    """Two writes to one block. The second waits for the first, and conflicts with the reservation when its turn comes."""
    cluster = Cluster(2)
    cluster.register(0)
    cluster.volume.is_cold = lambda: True
    begun = cluster.start(WRITE, BLOCK, nexus=cluster.hosts[1])
    waits = cluster.start(WRITE, BLOCK, nexus=cluster.hosts[1])
    reads = cluster.start(READ, nexus=cluster.hosts[1])
    cluster.environment.settle()
    cluster.reserve(0, WE)
    cluster.environment.advance(10.0)
    assert begun.reply.status == 0
    assert waits.reply.status == CONFLICT
    assert reads.reply.status == 0
    assert cluster.volume.writes == 1
    assert not cluster.logical_unit.tasks.members


def test_a_reservation_counts_from_the_moment_of_the_command_not_of_its_answer() -> None:
    cluster = Cluster(2)
    assert cluster.out(0, REGISTER, 0, 1, 1).status == 0
    cluster.pool.flush_delay_s = 1.0
    started = cluster.start(
        bytes((0x5F, RESERVE, EA, 0, 0, 0, 0, 0, 24, 0)), (1).to_bytes(8, "big") + bytes(16), nexus=cluster.hosts[0]
    )
    assert not started.is_done
    assert cluster.command(READ, nexus=cluster.hosts[1]).status == CONFLICT
    cluster.environment.advance(2.0)
    assert started.reply.status == 0


def test_a_released_reservation_keeps_nobody_out() -> None:
    cluster = reserved(EA_AR)
    assert cluster.out(0, 2, 1, kind=EA_AR).status == 0
    assert cluster.pending(REGISTRANT) == [RESERVATIONS_RELEASED]
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[STRANGER]).status == 0
