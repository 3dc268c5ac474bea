"""PERSISTENT RESERVE IN and OUT: formats and refusals. Sequences of service actions are tested by the state machine."""

import pytest

from odx_target.scsi.limits import MAX_REGISTRATIONS, MAX_RESERVE_OUT_BYTES
from odx_target.scsi.target_port import iscsi_port
from tests.scsi.array import code_of, data_of
from tests.scsi.reserving import (
    ALL_TG_PT,
    APTPL,
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
    RELEASE,
    REPORT_CAPABILITIES,
    RESERVE,
    SPEC_I_PT,
    WE,
    WE_AR,
    WE_RO,
    Cluster,
    basic_list,
    golden,
    in_cdb,
    move_list,
    out_cdb,
    port_name,
    specified,
    transport_id,
)

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


@pytest.mark.parametrize("cdb", ["5e 04", "5e 1f", "5f 08", "5f 1f"])
def test_what_is_not_supported(cdb: str) -> None:
    assert code_of(Cluster().command(cdb + " 00" * 8)) == INVALID_FIELD_IN_CDB


def test_a_name_in_capitals_is_the_same_name() -> None:
    cluster = Cluster(1)
    cluster.register(0)
    cluster.hosts[0].initiator_port_name = port_name(0).replace("com", "COM").replace("d", "D")
    assert cluster.out(0, RESERVE, 1, kind=WE).status == 0


# PERSISTENT RESERVE OUT: refused commands, which change nothing.

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
    data = basic_list(0, 1, SPEC_I_PT, specified(transport_id(port_name(1)))).ljust(MAX_RESERVE_OUT_BYTES, b"\0")
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


def test_a_device_name_stands_for_no_ports_that_use_another_target() -> None:
    cluster = Cluster(3)
    for host in (1, 2):
        cluster.hosts[host].initiator_name = "iqn.2001-04.com.example:host1"
        cluster.hosts[host].initiator_port_name = f"iqn.2001-04.com.example:host1,i,0x00023d00000{host}"
    cluster.hosts[2].target_port = iscsi_port("iqn.2001-04.com.example:other", 1, 2)
    data = basic_list(0, 5, SPEC_I_PT, specified(transport_id("iqn.2001-04.com.example:host1", 0)))
    assert cluster.send(0, REGISTER, data).status == 0
    assert cluster.keys() == [5, 5]
    assert cluster.out(2, RESERVE, 5, kind=WE).status == CONFLICT


def test_registrations_at_the_limit_and_past_it() -> None:
    cluster = Cluster(3)
    names = [f"iqn.2001-04.com.example:{number},i,0x000000000000" for number in range(MAX_REGISTRATIONS)]
    many = specified(*(transport_id(name) for name in names))
    assert code_of(cluster.send(0, REGISTER, basic_list(0, 1, SPEC_I_PT, many))) == NO_ROOM
    assert cluster.keys() == [], "all or none"
    one_less = specified(*(transport_id(name) for name in names[1:]))
    assert cluster.send(0, REGISTER, basic_list(0, 1, SPEC_I_PT, one_less)).status == 0
    assert len(cluster.keys()) == MAX_REGISTRATIONS
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


@pytest.mark.parametrize("what", ["preempt", "release", "clear", "unregister", "another key", "reserve"])
def test_a_cluster_fences_its_members_in_a_full_pool_too(what: str) -> None:
    cluster = Cluster(2)
    for host in (0, 1):
        assert cluster.out(host, REGISTER, 0, host + 1, APTPL).status == 0
    if what != "reserve":
        cluster.reserve(0, WE_RO)
    cluster.pool.is_full = True
    reply = {
        "preempt": lambda: cluster.out(1, PREEMPT, 2, 1, kind=WE_RO),
        "release": lambda: cluster.out(0, RELEASE, 1, kind=WE_RO),
        "clear": lambda: cluster.out(1, CLEAR, 2),
        "unregister": lambda: cluster.out(1, REGISTER, 2, 0, APTPL),
        "another key": lambda: cluster.out(1, REGISTER, 2, 9, APTPL),
        "reserve": lambda: cluster.out(0, RESERVE, 1, kind=WE_RO),
    }[what]()
    assert reply.status == 0


def test_a_registered_nexus_may_not_name_others() -> None:
    cluster = Cluster(1)
    cluster.register(0)
    listed = basic_list(1, 5, SPEC_I_PT, specified(transport_id(port_name(2))))
    reply = cluster.command(out_cdb(REGISTER, len(listed)), listed, nexus=cluster.hosts[0])
    assert code_of(reply) == INVALID_FIELD_IN_LIST
    assert reply.sense[15:18] == bytes.fromhex("8b 00 14"), "SPEC_I_PT"
