"""RESERVE and RELEASE: which commands conflict, how a reservation ends, and persistent reservations beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scsi.array import code_of, data_of
from tests.scsi.reserving import (
    BLOCK,
    CLEAR,
    CONFLICT,
    EA,
    EA_AR,
    EA_RO,
    READ_KEYS,
    READ_RESERVATION,
    REGISTER,
    REGISTER_AND_IGNORE,
    REPORT_CAPABILITIES,
    RESERVE,
    TEST_UNIT_READY,
    WE,
    WE_AR,
    WE_RO,
    WRITE,
    Cluster,
    basic_list,
    in_cdb,
    out_cdb,
)
from tests.scsi.test_reservation_access import COMMANDS

RESERVES = ("16 00 00 00 00 00", "56 00 00 00 00 00 00 00 00 00")
RELEASES = ("17 00 00 00 00 00", "57 00 00 00 00 00 00 00 00 00")
ALLOWED_TO_OTHERS = {
    # SPC-2 5.5.1 and annex B
    "12 00 00 00 ff 00",
    "03 00 00 00 12 00",
    "a0 00 00 00 00 00 00 00 10 00 00 00",
    "25 00 00 00 00 00 00 00 00 00",
    "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
    "4d 00 40 00 00 00 00 00 ff 00",
    "1b 00 00 00 01 00",
}


def reserved(count_hosts: int = 2) -> Cluster:
    """Return a cluster in which host 0 has reserved the logical unit."""
    cluster = Cluster(count_hosts)
    assert status(cluster, 0, RESERVES[0]) == 0
    return cluster


def status(cluster: Cluster, host: int, cdb: str, data: bytes = b"") -> int:
    return cluster.command(cdb, data, nexus=cluster.hosts[host]).status


@pytest.mark.parametrize("reserve", RESERVES)
@pytest.mark.parametrize("release", RELEASES)
def test_a_unit_is_reserved_until_its_holder_releases_it(reserve: str, release: str) -> None:
    cluster = Cluster(2)
    assert status(cluster, 0, reserve) == 0
    assert status(cluster, 0, reserve) == 0, "the holder may reserve again"
    assert status(cluster, 1, reserve) == CONFLICT
    assert status(cluster, 1, release) == 0, "a release by another host is ignored"
    assert status(cluster, 1, WRITE, BLOCK) == CONFLICT
    assert status(cluster, 0, WRITE, BLOCK) == 0
    assert status(cluster, 0, release) == 0
    assert status(cluster, 0, release) == 0
    assert status(cluster, 1, WRITE, BLOCK) == 0
    assert status(cluster, 1, reserve) == 0


@pytest.mark.parametrize("cdb", [cdb for cdbs in COMMANDS.values() for cdb, _ in cdbs if not cdb.startswith("5e")])
def test_commands_of_the_holder_and_of_others(cdb: str) -> None:
    cluster = reserved()
    data = next(data for cdbs in COMMANDS.values() for each, data in cdbs if each == cdb)
    assert status(cluster, 1, cdb, data) == (0 if cdb in ALLOWED_TO_OTHERS else CONFLICT)
    assert not cluster.volume.writes
    assert status(cluster, 0, cdb, data) == 0


@pytest.mark.parametrize("host", [0, 1])
def test_persistent_reserve_conflicts_for_every_host(host: int) -> None:
    cluster = reserved()
    for action in range(4):
        assert cluster.command(in_cdb(action), nexus=cluster.hosts[host]).status == CONFLICT
    for action in (REGISTER, REGISTER_AND_IGNORE, CLEAR, RESERVE):
        assert cluster.out(host, action, 0, 1, kind=WE).status == CONFLICT
    assert status(cluster, 0, RELEASES[0]) == 0
    assert cluster.keys() == []


def test_a_reset_releases() -> None:
    cluster = reserved()
    cluster.server.reset_logical_unit(cluster.logical_unit, cluster.hosts[1])
    cluster.quiet()
    assert status(cluster, 1, WRITE, BLOCK) == 0
    assert status(cluster, 0, RESERVES[0]) == 0
    cluster.server.reset_target(cluster.hosts[1])
    cluster.quiet()
    assert status(cluster, 1, RESERVES[1]) == 0


def test_the_end_of_the_nexus_releases_and_that_of_another_does_not() -> None:
    cluster = reserved()
    cluster.server.detach(cluster.hosts[1])
    cluster.hosts[1] = cluster.attach(1)
    assert status(cluster, 1, TEST_UNIT_READY) == CONFLICT
    cluster.server.detach(cluster.hosts[0])
    assert status(cluster, 1, TEST_UNIT_READY) == 0


def test_a_late_end_of_a_reinstated_session_releases_nothing_of_the_new_one() -> None:
    cluster = reserved()
    before = cluster.hosts[0]
    cluster.hosts[0] = cluster.attach(0)
    assert status(cluster, 0, RESERVES[0]) == 0
    cluster.server.detach(before)
    assert status(cluster, 1, TEST_UNIT_READY) == CONFLICT


def test_a_name_in_capitals_is_the_same_holder() -> None:
    cluster = reserved()
    cluster.hosts[0].initiator_port_name = cluster.hosts[0].initiator_port_name.upper()
    assert status(cluster, 0, WRITE, BLOCK) == 0


def test_a_write_whose_data_arrives_after_the_reservation_is_refused() -> None:
    cluster = Cluster(2)
    place = cluster.server.accept(cluster.hosts[1], 0, bytes.fromhex(WRITE).ljust(16, b"\0"), 1, 1, lambda: False)
    assert place is not None
    assert status(cluster, 0, RESERVES[0]) == 0
    assert not cluster.logical_unit.tasks.members, "no task waits for it"
    _, outcome = cluster.server.execute_accepted(place, [BLOCK], holds_memory=False)
    assert outcome.status == CONFLICT
    assert not cluster.volume.writes


@pytest.mark.parametrize(
    ("cdb", "byte", "bit"),
    [
        ("16 01 00 00 00 00", 1, 0),  # extents
        ("16 10 00 00 00 00", 1, 4),  # third party
        ("16 00 01 00 00 00", 2, 0),
        ("16 00 00 00 08 00", 4, 3),
        ("17 01 00 00 00 00", 1, 0),
        ("17 1e 00 00 00 00", 1, 4),
        ("56 01 00 00 00 00 00 00 00 00", 1, 0),
        ("56 10 00 07 00 00 00 00 00 00", 1, 4),
        ("56 02 00 00 00 00 00 00 08 00", 1, 1),
        ("56 00 00 07 00 00 00 00 00 00", 3, 2),
        ("57 10 00 07 00 00 00 00 00 00", 1, 4),
        ("57 00 00 00 00 00 00 00 08 00", 8, 3),
    ],
)
def test_extents_and_third_parties_are_refused(cdb: str, byte: int, bit: int) -> None:
    cluster = Cluster(2)
    reply = cluster.command(cdb, nexus=cluster.hosts[0])
    assert code_of(reply) == (5, 0x24, 0)
    assert reply.sense[15:18] == bytes((0xC8 | bit, 0, byte))
    assert status(cluster, 1, WRITE, BLOCK) == 0


# Type of the persistent reservation of host 0 (0: none): the hosts whose RESERVE and RELEASE are GOOD. Host 1 is registered,
# host 2 is not (SPC-4 5.13.3).
ADMITTED = {0: (), WE: (0,), EA: (0,), WE_RO: (0, 1), EA_RO: (0, 1), WE_AR: (0, 1), EA_AR: (0, 1)}


@pytest.mark.parametrize("kind", ADMITTED)
@pytest.mark.parametrize("cdb", RESERVES + RELEASES)
def test_a_persistent_reservation_decides_about_reserve_and_release(kind: int, cdb: str) -> None:
    cluster = Cluster(3)
    cluster.register(0, 1)
    if kind:
        cluster.reserve(0, kind)
    before = cluster.read(READ_RESERVATION)
    for host in range(3):
        assert status(cluster, host, cdb) == (0 if host in ADMITTED[kind] else CONFLICT)
    assert cluster.read(READ_RESERVATION) == before
    assert cluster.keys() == [1, 2]
    assert cluster.logical_unit.reserved_by is None
    assert cluster.read(REPORT_CAPABILITIES)[2] & 0x10, "CRH"


def test_a_host_registers_after_a_release() -> None:
    cluster = reserved()
    listed = basic_list(0, 1)
    assert cluster.command(out_cdb(REGISTER, len(listed)), listed, nexus=cluster.hosts[0]).status == CONFLICT
    assert status(cluster, 0, RELEASES[1]) == 0
    cluster.register(0)
    assert len(data_of(cluster.command(in_cdb(READ_KEYS)))) == 16


class Model:
    """The hosts that may use a unit, by the rules of SPC-2 5.5.1 and SPC-4 5.13.3, without persistent reservations."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self.registered: set[int] = set()

    def expected(self, what: str, host: int) -> int:
        """Return the expected status, and change the state."""
        reserved_by_another = self.holder not in (None, host)
        if what in ("reserve", "release") and self.registered:
            return CONFLICT
        if what == "reserve" and not reserved_by_another:
            self.holder = host
        elif what == "release":
            self.holder = None if self.holder == host else self.holder
            return 0
        elif what in ("register", "unregister") and self.holder is not None:
            return CONFLICT
        elif what == "register":
            self.registered.add(host)
        elif what == "unregister":
            self.registered.discard(host)
        return CONFLICT if reserved_by_another else 0

    def ends(self, host: int) -> None:
        self.holder = None if self.holder == host else self.holder


COMMANDS_OF_MODEL = {
    "reserve": (RESERVES[0], b""),
    "release": (RELEASES[1], b""),
    "write": (WRITE, BLOCK),
    "register": (out_cdb(REGISTER_AND_IGNORE, 24), basic_list(0, 1)),
    "unregister": (out_cdb(REGISTER_AND_IGNORE, 24), basic_list(0, 0)),
}


@given(st.lists(st.tuples(st.sampled_from([*COMMANDS_OF_MODEL, "log in again", "reset"]), st.integers(0, 2)), max_size=30))
def test_sequences_of_three_hosts(steps: list[tuple[str, int]]) -> None:
    cluster, model = Cluster(3), Model()
    for what, host in steps:
        if what == "log in again":
            cluster.server.detach(cluster.hosts[host])
            cluster.hosts[host] = cluster.attach(host)
            model.ends(host)
        elif what == "reset":
            cluster.server.reset_logical_unit(cluster.logical_unit, cluster.hosts[host])
            model.holder = None
        else:
            cdb, data = COMMANDS_OF_MODEL[what]
            assert cluster.command(cdb, data, nexus=cluster.hosts[host]).status == model.expected(what, host)
        cluster.quiet()
    assert not cluster.internal_errors
