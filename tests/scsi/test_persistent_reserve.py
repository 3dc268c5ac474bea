"""PERSISTENT RESERVE IN and OUT, byte by byte and refusal by refusal; which sequences mean what is the machine's affair."""

import tomllib
from pathlib import Path

import pytest

from odx_target.scsi.limits import MAXIMUM_REGISTRATIONS, MAXIMUM_RESERVE_OUT_BYTES
from tests.scsi.array import Started, code_of, data_of
from tests.scsi.reserving import (
    ALL_TG_PT,
    APTPL,
    BLOCK,
    CLEAR,
    CONFLICT,
    EA,
    EA_RO,
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_LIST,
    INVALID_RELEASE,
    LIST_LENGTH_ERROR,
    NO_ROOM,
    PREEMPT,
    PREEMPT_AND_ABORT,
    READ_FULL_STATUS,
    READ_KEYS,
    READ_RESERVATION,
    REGISTER,
    REGISTER_AND_IGNORE,
    REGISTER_AND_MOVE,
    REGISTRATIONS_PREEMPTED,
    RELEASE,
    REPORT_CAPABILITIES,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
    RESERVE,
    SPEC_I_PT,
    TEST_UNIT_READY,
    TYPES,
    UNREG,
    WE,
    WE_AR,
    WE_RO,
    WRITE,
    Cluster,
    basic_list,
    in_cdb,
    move_list,
    out_cdb,
    port_name,
    specified,
    transport_id,
)

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "scsi_reservations.toml").read_text())


def golden(name: str, key: str = "data") -> bytes:
    return bytes.fromhex(GOLDEN[name][key])


# PERSISTENT RESERVE IN.


def test_what_this_device_server_can_do() -> None:
    cluster = Cluster()
    assert cluster.read(REPORT_CAPABILITIES) == golden("capabilities", "inactive")
    cluster.register(0, flags=APTPL)
    assert cluster.read(REPORT_CAPABILITIES) == golden("capabilities", "active")
    cluster.register(1)
    assert cluster.read(REPORT_CAPABILITIES) == golden("capabilities", "inactive"), "the last APTPL bit counts"


def test_keys() -> None:
    cluster = Cluster()
    assert cluster.read(READ_KEYS) == golden("no_keys")
    cluster.register(0, 1)
    assert cluster.read(READ_KEYS) == golden("two_keys"), "anybody may look"


@pytest.mark.parametrize(("kind", "name"), [(0, "no_reservation"), (EA_RO, "held_by_one"), (WE_AR, "held_by_all")])
def test_the_reservation(kind: int, name: str) -> None:
    cluster = Cluster()
    cluster.register(0, 1)
    if kind:
        cluster.reserve(0, kind)
    assert cluster.read(READ_RESERVATION) == golden(name)


def test_full_status() -> None:
    cluster = Cluster()
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    assert cluster.read(READ_FULL_STATUS) == golden("full_status")


@pytest.mark.parametrize("service_action", range(4))
def test_parameter_data_is_cut_to_the_allocation_length_and_says_its_whole_length(service_action: int) -> None:
    cluster = Cluster()
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    whole = cluster.read(service_action)
    for allocation_bytes in (*range(20), len(whole) - 1, len(whole), len(whole) + 1):
        reply = cluster.command(in_cdb(service_action, allocation_bytes), nexus=cluster.hosts[0])
        assert data_of(reply) == whole[:allocation_bytes]
        assert reply.transfer_bytes == min(allocation_bytes, len(whole))


@pytest.mark.parametrize("cdb", ["5e 04", "5e 1f", "5f 08", "5f 1f", "16 00", "17 00"])
def test_what_is_not_supported(cdb: str) -> None:
    code = code_of(Cluster().command(cdb + " 00" * 8))
    assert code == ((5, 0x20, 0) if cdb[0] == "1" else INVALID_FIELD_IN_CDB)


def test_a_name_in_capitals_is_the_same_name() -> None:
    cluster = Cluster(1)
    cluster.register(0)
    cluster.hosts[0].initiator_port_name = port_name(0).replace("com", "COM").replace("d", "D")
    assert cluster.out(0, RESERVE, 1, kind=WE).status == 0


# PERSISTENT RESERVE OUT: what is refused, and that nothing has changed then.

REFUSED = {
    # hosts 0 and 1 are registered with keys 1 and 2, host 0 holds Write Exclusive: (host, action, list, type, scope, code)
    "register with a wrong key": (0, REGISTER, basic_list(9, 3), 0, 0, CONFLICT),
    "register as a stranger with a key": (2, REGISTER, basic_list(9, 3), 0, 0, CONFLICT),
    "reserve with a wrong key": (0, RESERVE, basic_list(9), WE, 0, CONFLICT),
    "reserve as a stranger": (2, RESERVE, basic_list(0), WE, 0, CONFLICT),
    "reserve what another holds": (1, RESERVE, basic_list(2), WE, 0, CONFLICT),
    "reserve as another type": (0, RESERVE, basic_list(1), EA, 0, CONFLICT),
    "reserve a part": (0, RESERVE, basic_list(1), WE, 2, INVALID_FIELD_IN_CDB),
    "release as another type": (0, RELEASE, basic_list(1), EA, 0, INVALID_RELEASE),
    "release a part": (0, RELEASE, basic_list(1), WE, 1, INVALID_RELEASE),
    "release with a wrong key": (0, RELEASE, basic_list(9), WE, 0, CONFLICT),
    "release as a stranger": (2, RELEASE, basic_list(0), WE, 0, CONFLICT),
    "clear with a wrong key": (0, CLEAR, basic_list(9), 0, 0, CONFLICT),
    "clear as a stranger": (2, CLEAR, basic_list(0), 0, 0, CONFLICT),
    "preempt as a stranger": (2, PREEMPT, basic_list(0, 1), WE, 0, CONFLICT),
    "preempt with a wrong key": (1, PREEMPT, basic_list(9, 1), WE, 0, CONFLICT),
    "preempt a key that nobody has": (1, PREEMPT, basic_list(2, 7), WE, 0, CONFLICT),
    "preempt all under another type": (1, PREEMPT, basic_list(2, 0), WE, 0, INVALID_FIELD_IN_LIST),
    "preempt into a part": (1, PREEMPT, basic_list(2, 1), WE, 1, INVALID_FIELD_IN_CDB),
    "preempt and abort a key that nobody has": (1, PREEMPT_AND_ABORT, basic_list(2, 7), WE, 0, CONFLICT),
    "SPEC_I_PT with another action": (0, RESERVE, basic_list(1, 0, SPEC_I_PT), WE, 0, INVALID_FIELD_IN_LIST),
    "SPEC_I_PT ignoring keys": (0, REGISTER_AND_IGNORE, basic_list(1, 0, SPEC_I_PT), 0, 0, INVALID_FIELD_IN_LIST),
    "SPEC_I_PT when registered": (
        *(0, REGISTER, basic_list(1, 3, SPEC_I_PT, specified(transport_id(port_name(2))))),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "SPEC_I_PT of one who is registered": (
        *(2, REGISTER, basic_list(0, 3, SPEC_I_PT, specified(transport_id(port_name(1))))),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "SPEC_I_PT without a length": (2, REGISTER, basic_list(0, 3, SPEC_I_PT), 0, 0, LIST_LENGTH_ERROR),
    "SPEC_I_PT longer than the list": (
        *(2, REGISTER, basic_list(0, 3, SPEC_I_PT, specified(transport_id(port_name(3)))[:-4])),
        *(0, 0, LIST_LENGTH_ERROR),
    ),
    "SPEC_I_PT that cuts a TransportID": (
        *(2, REGISTER, basic_list(0, 3, SPEC_I_PT, specified(transport_id(port_name(3))[:-4]))),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "SPEC_I_PT of a device without known ports": (
        *(2, REGISTER, basic_list(0, 3, SPEC_I_PT, specified(transport_id("iqn.2001-04.com.example:nobody", 0)))),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "move as a stranger": (2, REGISTER_AND_MOVE, move_list(0, 3, transport_id(port_name(1))), 0, 0, CONFLICT),
    "move with a wrong key": (0, REGISTER_AND_MOVE, move_list(9, 3, transport_id(port_name(1))), 0, 0, CONFLICT),
    "move what another holds": (1, REGISTER_AND_MOVE, move_list(2, 3, transport_id(port_name(2))), 0, 0, CONFLICT),
    "move without a key": (0, REGISTER_AND_MOVE, move_list(1, 0, transport_id(port_name(1))), 0, 0, INVALID_FIELD_IN_LIST),
    "move to oneself": (0, REGISTER_AND_MOVE, move_list(1, 3, transport_id(port_name(0))), 0, 0, INVALID_FIELD_IN_LIST),
    "move to another target port": (
        *(0, REGISTER_AND_MOVE, move_list(1, 3, transport_id(port_name(1)), port=2)),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "move to a whole device": (
        *(0, REGISTER_AND_MOVE, move_list(1, 3, transport_id("iqn.2001-04.com.example:host1", 0))),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "move to nobody": (0, REGISTER_AND_MOVE, move_list(1, 3, b""), 0, 0, INVALID_FIELD_IN_LIST),
    "move to two": (0, REGISTER_AND_MOVE, move_list(1, 3, transport_id(port_name(1)) * 2), 0, 0, INVALID_FIELD_IN_LIST),
    "move to a name of odd length": (
        *(0, REGISTER_AND_MOVE, move_list(1, 3, transport_id(port_name(1)) + b"\0\0")),
        *(0, 0, INVALID_FIELD_IN_LIST),
    ),
    "move longer than the list": (
        *(0, REGISTER_AND_MOVE, move_list(1, 3, transport_id(port_name(1)))[:-4]),
        *(0, 0, LIST_LENGTH_ERROR),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    host, service_action, data, kind, scope, expected = REFUSED[name]
    cluster = Cluster(4)
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    before = cluster.logical_unit.reservations
    reply = cluster.send(host, service_action, data, kind=kind, scope=scope)
    assert (reply.status if expected == CONFLICT else code_of(reply)) == expected
    assert cluster.logical_unit.reservations is before
    assert not any(cluster.pending(each) for each in range(4))
    assert not cluster.internal_errors


@pytest.mark.parametrize("kind", [0, 2, 4, 9, 15])
@pytest.mark.parametrize("service_action", [RESERVE, PREEMPT])
def test_types_that_are_none(service_action: int, kind: int) -> None:
    cluster = Cluster()
    cluster.register(0, 1)
    if service_action == PREEMPT:
        cluster.reserve(1, WE)
    reply = cluster.out(0, service_action, 1, 2, kind=kind)
    assert code_of(reply) == INVALID_FIELD_IN_CDB
    assert reply.sense[15:18] == bytes.fromhex("cb 00 02")


def test_a_move_without_a_reservation_and_one_from_all_registrants() -> None:
    cluster = Cluster()
    cluster.register(0, 1)
    assert code_of(cluster.move(0, 1, 2, 1)) == INVALID_FIELD_IN_CDB
    cluster.reserve(0, WE_AR)
    assert cluster.move(0, 1, 2, 1).status == CONFLICT


@pytest.mark.parametrize("length", [0, 1, 8, 23, 25, 28, 48])
@pytest.mark.parametrize("service_action", [*range(REGISTER_AND_MOVE)])
def test_a_basic_list_has_24_bytes(service_action: int, length: int) -> None:
    cluster = Cluster(1)
    data = basic_list(0, 1)[:length].ljust(length, b"\0")
    assert code_of(cluster.send(0, service_action, data, kind=WE)) == LIST_LENGTH_ERROR
    assert not cluster.keys()


def test_a_list_of_which_less_came_than_the_cdb_says_and_one_of_which_more_came() -> None:
    cluster = Cluster(1)
    assert code_of(cluster.command(out_cdb(REGISTER, 24), basic_list(0, 1)[:20], nexus=cluster.hosts[0])) == LIST_LENGTH_ERROR
    assert cluster.command(out_cdb(REGISTER, 24), basic_list(0, 1) + bytes(8), nexus=cluster.hosts[0]).status == 0
    assert cluster.keys() == [1]


def test_the_longest_list_and_a_longer_one() -> None:
    cluster = Cluster(1)
    data = basic_list(0, 1, SPEC_I_PT, specified(transport_id(port_name(1)))).ljust(MAXIMUM_RESERVE_OUT_BYTES, b"\0")
    assert code_of(cluster.send(0, REGISTER, data + b"\0")) == LIST_LENGTH_ERROR
    assert cluster.send(0, REGISTER, data).status == 0
    assert cluster.keys() == [1, 1]


# Registering.


def test_nothing_of_nothing_is_good_and_counts_not() -> None:
    cluster = Cluster(1)
    assert cluster.out(0, REGISTER, 0, 0, APTPL).status == 0
    assert cluster.out(0, REGISTER_AND_IGNORE, 5, 0, APTPL).status == 0
    assert (cluster.keys(), cluster.generation()) == ([], 0)
    assert not cluster.logical_unit.reservations.persists_through_power_loss


def test_the_answer_has_taken_the_whole_list() -> None:
    assert Cluster(1).out(0, REGISTER, 0, 1).transfer_bytes == 24


def test_all_target_ports_is_taken_where_it_means_something_and_ignored_elsewhere() -> None:
    cluster = Cluster(1)
    assert cluster.out(0, REGISTER, 0, 1, ALL_TG_PT).status == 0
    assert cluster.out(0, RESERVE, 1, 0, ALL_TG_PT | APTPL, kind=WE).status == 0
    assert not cluster.logical_unit.reservations.persists_through_power_loss
    assert cluster.keys() == [1]


def test_others_are_registered_with_the_sender() -> None:
    cluster = Cluster(3)
    capitals = transport_id("IQN.2001-04.com.EXAMPLE:host1,i,0X23D000001")
    data = basic_list(0, 5, SPEC_I_PT, specified(capitals, transport_id(port_name(2))))
    assert cluster.send(0, REGISTER, data).status == 0
    assert cluster.keys() == [5, 5, 5]
    assert cluster.generation() == 1
    assert cluster.out(1, RESERVE, 5, kind=WE).status == 0, "however its name was written"


def test_a_device_name_stands_for_the_ports_that_are_known() -> None:
    cluster = Cluster(3)
    cluster.hosts[2].initiator_name = "iqn.2001-04.com.example:host1"
    cluster.hosts[2].initiator_port_name = "iqn.2001-04.com.example:host1,i,0x00023d000009"
    data = basic_list(0, 5, SPEC_I_PT, specified(transport_id("iqn.2001-04.com.example:host1", 0)))
    assert cluster.send(0, REGISTER, data).status == 0
    assert cluster.keys() == [5, 5, 5]
    assert cluster.out(2, RESERVE, 5, kind=WE).status == 0


def test_registrations_at_the_limit_and_past_it() -> None:
    cluster = Cluster(3)
    names = [f"iqn.2001-04.com.example:{number},i,0x000000000000" for number in range(MAXIMUM_REGISTRATIONS)]
    many = specified(*(transport_id(name) for name in names))
    assert code_of(cluster.send(0, REGISTER, basic_list(0, 1, SPEC_I_PT, many))) == NO_ROOM
    assert cluster.keys() == [], "all or none"
    one_less = specified(*(transport_id(name) for name in names[1:]))
    assert cluster.send(0, REGISTER, basic_list(0, 1, SPEC_I_PT, one_less)).status == 0
    assert len(cluster.keys()) == MAXIMUM_REGISTRATIONS
    assert code_of(cluster.out(1, REGISTER, 0, 2)) == NO_ROOM
    assert code_of(cluster.out(1, REGISTER_AND_IGNORE, 0, 2)) == NO_ROOM
    cluster.reserve(0, WE)
    assert code_of(cluster.move(0, 1, 2, 1)) == NO_ROOM
    assert cluster.out(0, REGISTER, 1, 3).status == 0, "another key takes no more room"


def test_a_pool_without_room_leaves_everything_as_it_was() -> None:
    cluster = Cluster(1)
    cluster.pool.is_full = True
    assert code_of(cluster.out(0, REGISTER, 0, 1, APTPL)) == NO_ROOM
    assert cluster.keys() == []
    assert cluster.out(0, REGISTER, 0, 1).status == 0, "what does not persist needs none"


# Who is told what.


@pytest.mark.parametrize("kind", TYPES)
def test_a_release_is_told_to_those_who_shared(kind: int) -> None:
    cluster = Cluster(3)
    cluster.register(0, 1)
    cluster.reserve(0, kind)
    assert cluster.out(0, RELEASE, 1, kind=kind).status == 0
    assert cluster.reservation() is None
    assert cluster.pending(1) == ([RESERVATIONS_RELEASED] if kind > EA else [])
    assert not cluster.pending(0)
    assert not cluster.pending(2)


@pytest.mark.parametrize("kind", TYPES)
def test_a_holder_that_unregisters_releases(kind: int) -> None:
    cluster = Cluster(3)
    cluster.register(0, 1)
    cluster.reserve(0, kind)
    assert cluster.out(0, REGISTER, 1, 0).status == 0
    stays = kind >= WE_AR
    assert cluster.reservation() == ((0, kind) if stays else None)
    assert cluster.pending(1) == ([RESERVATIONS_RELEASED] if kind in (WE_RO, EA_RO) else [])
    cluster.quiet()
    assert cluster.out(1, REGISTER, 2, 0).status == 0
    assert cluster.reservation() is None, "nobody is left to hold it"


def test_a_clear_is_told_to_all_who_were_registered() -> None:
    cluster = Cluster(3)
    cluster.register(0, 1)
    cluster.reserve(1, EA)
    assert cluster.out(0, CLEAR, 1).status == 0
    assert (cluster.keys(), cluster.reservation(), cluster.generation()) == ([], None, 3)
    assert [cluster.pending(host) for host in range(3)] == [[], [RESERVATIONS_PREEMPTED], []]


def test_a_preemption_is_told_to_who_lost_and_to_those_for_whom_the_type_changed() -> None:
    cluster = Cluster(4)
    cluster.register(0, 1, 2)
    cluster.reserve(0, WE_RO)
    assert cluster.out(1, PREEMPT, 2, 1, kind=EA).status == 0
    assert cluster.reservation() == (2, EA)
    assert cluster.keys() == [2, 3]
    assert [cluster.pending(host) for host in range(4)] == [[REGISTRATIONS_PREEMPTED], [], [RESERVATIONS_RELEASED], []]


def test_a_holder_preempts_itself_to_change_the_type() -> None:
    cluster = Cluster(2)
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    assert cluster.out(0, PREEMPT, 1, 1, kind=EA_RO).status == 0
    assert (cluster.keys(), cluster.reservation()) == ([1, 2], (1, EA_RO))
    assert [cluster.pending(host) for host in range(2)] == [[], [RESERVATIONS_RELEASED]]


def test_all_registrants_are_preempted_by_a_key_of_zero() -> None:
    cluster = Cluster(3)
    cluster.register(0, 1, 2)
    cluster.reserve(0, WE_AR)
    assert cluster.out(1, PREEMPT, 2, 3, kind=EA).status == 0, "one of them: the reservation stays as it is"
    assert cluster.reservation() == (0, WE_AR)
    assert cluster.out(1, PREEMPT, 2, 0, kind=EA).status == 0
    assert (cluster.keys(), cluster.reservation()) == ([2], (2, EA))
    assert cluster.pending(0) == cluster.pending(2) == [REGISTRATIONS_PREEMPTED]


def test_a_moved_reservation_is_the_others_and_nobody_is_told() -> None:
    cluster = Cluster(3)
    cluster.register(0)
    cluster.reserve(0, EA)
    assert cluster.move(0, 1, 9, 1).status == 0
    assert (cluster.keys(), cluster.reservation()) == ([1, 9], (9, EA))
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[0]).status == CONFLICT
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[1]).status == 0
    assert cluster.move(1, 9, 8, 2, UNREG).status == 0
    assert (cluster.keys(), cluster.reservation()) == ([1, 8], (8, EA))
    assert not any(cluster.pending(host) for host in range(3))


def test_who_is_away_keeps_what_it_has_and_is_told_of_its_return_alone() -> None:
    cluster = Cluster(2)
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    cluster.server.detach(cluster.hosts[0])
    assert (cluster.keys(), cluster.reservation()) == ([1, 2], (1, WE))
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[1]).status == CONFLICT
    cluster.hosts[0] = cluster.attach(0)
    assert cluster.command(WRITE, BLOCK, nexus=cluster.hosts[0]).status == 0


def test_resets_change_nothing() -> None:
    cluster = Cluster(2)
    cluster.register(0, 1)
    cluster.reserve(0, WE)
    before = cluster.logical_unit.reservations
    cluster.server.reset_logical_unit(cluster.logical_unit, None)
    cluster.server.reset_target(None)
    assert cluster.logical_unit.reservations is before


# PREEMPT AND ABORT.


def busy_cluster() -> Cluster:
    """Hosts 0, 1 and 2 are registered, and reads are slow."""
    cluster = Cluster(3)
    cluster.register(0, 1, 2)
    cluster.volume.is_cold = lambda: True
    cluster.volume.read_delay_s = 1.0
    return cluster


def begin_write(cluster: Cluster, host: int) -> Started:
    """Each host to a block of its own."""
    return cluster.start(f"2a 00 00 00 00 {8 * host:02x} 00 00 01 00", BLOCK, nexus=cluster.hosts[host])


@pytest.mark.parametrize("service_action", [PREEMPT, PREEMPT_AND_ABORT])
def test_tasks_of_the_preempted_end_and_no_others(service_action: int) -> None:
    cluster = busy_cluster()
    started = [
        cluster.start(f"2a 00 00 00 00 {8 * host:02x} 00 00 01 00", BLOCK, nexus=cluster.hosts[host]) for host in range(3)
    ]
    cluster.environment.settle()
    assert cluster.out(1, service_action, 2, 1, kind=WE).status == 0
    cluster.environment.advance(10.0)
    aborts = service_action == PREEMPT_AND_ABORT
    assert [each.reply.status for each in started] == [0x40 if aborts else 0, 0, 0]
    assert cluster.volume.writes == (2 if aborts else 3)
    assert cluster.pending(0) == [REGISTRATIONS_PREEMPTED, *([(0x2F, 0)] if aborts else [])]
    assert not cluster.logical_unit.tasks.members


def test_data_on_its_way_is_dropped_too() -> None:
    cluster = busy_cluster()
    ended = []
    cluster.hosts[0].end_undelivered = lambda lun: not ended.append((0, lun))
    cluster.hosts[2].end_undelivered = lambda lun: not ended.append((2, lun))
    assert cluster.out(1, PREEMPT_AND_ABORT, 2, 1).status == 0
    assert ended == [(0, 0)]
    assert cluster.pending(0) == [REGISTRATIONS_PREEMPTED, (0x2F, 0)]


def test_a_host_that_preempts_itself_ends_its_own_tasks_but_this_one() -> None:
    cluster = busy_cluster()
    cluster.reserve(0, WE)
    started = cluster.start(WRITE, BLOCK, nexus=cluster.hosts[0])
    assert cluster.out(0, PREEMPT_AND_ABORT, 1, 1, kind=EA).status == 0
    cluster.environment.advance(10.0)
    assert started.reply.status == 0x40
    assert cluster.reservation() == (1, EA)
    assert not cluster.pending(0)


def test_under_all_registrants_a_key_of_zero_ends_the_tasks_of_everybody() -> None:
    cluster = busy_cluster()
    cluster.reserve(0, WE_AR)
    started = [
        cluster.start(f"2a 00 00 00 00 {8 * host:02x} 00 00 01 00", BLOCK, nexus=cluster.hosts[host]) for host in range(3)
    ]
    assert cluster.out(2, PREEMPT_AND_ABORT, 3, 0, kind=WE).status == 0
    cluster.environment.advance(10.0)
    assert [each.reply.status for each in started] == [0x40, 0x40, 0x40]


def test_listeners_hear_of_a_preemption_with_abort_alone() -> None:
    cluster = Cluster(3)
    heard = []
    cluster.server.on_preempt_and_abort.append(lambda nexus, unit: heard.append((nexus, unit)))
    cluster.register(0, 1)
    cluster.out(1, PREEMPT, 2, 1)
    assert not heard
    cluster.quiet()
    cluster.register(0)
    cluster.out(1, PREEMPT_AND_ABORT, 2, 1)
    assert heard == [(cluster.hosts[0], cluster.logical_unit)]


def test_a_reservation_among_waiting_tasks_is_one_step() -> None:
    """Registered while a write waits; the service action runs beside it and is no member of the set afterwards."""
    cluster = busy_cluster()
    write = cluster.start(WRITE, BLOCK, nexus=cluster.hosts[0])
    assert cluster.out(1, RESERVE, 2, kind=WE).status == 0
    assert [member.task for member in cluster.logical_unit.tasks.members] == [write.task]
    assert cluster.command(TEST_UNIT_READY, nexus=cluster.hosts[0]).status == 0
    cluster.environment.advance(10.0)
    assert write.reply.status == 0
