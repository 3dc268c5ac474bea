"""Registrations for all target ports (ALL_TG_PT), and reservations that move to another target port."""

import pytest

from odx_target.scsi.limits import MAX_REGISTRATIONS
from tests.scsi.array import code_of
from tests.scsi.reserving import (
    ALL_TG_PT,
    APTPL,
    CLEAR,
    CONFLICT,
    EA_RO,
    INVALID_FIELD_IN_LIST,
    NO_ROOM,
    PREEMPT,
    READ,
    REGISTER,
    REGISTER_AND_IGNORE,
    REGISTER_AND_MOVE,
    RELEASE,
    RESERVATIONS_RELEASED,
    RESERVE,
    SPEC_I_PT,
    WE,
    WE_RO,
    Cluster,
    ClusterOnDisk,
    EveryPort,
    basic_list,
    move_list,
    port_name,
    specified,
    transport_id,
)

OTHER_PORT = 3
"""Host 3 is the initiator port of host 0 at target port 2, if six hosts use two ports."""


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(6, 2)


def registered(cluster: Cluster) -> dict[int, int]:
    """Return the keys of the hosts."""
    keys = cluster.logical_unit.reservations.registrations
    return {host: keys[nexus.name] for host, nexus in enumerate(cluster.hosts) if nexus.name in keys}


def registered_at_both_ports(cluster: Cluster, *hosts: int) -> Cluster:
    for host in hosts:
        assert cluster.out(host, REGISTER, 0, host + 1, ALL_TG_PT).status == 0
    return cluster


@pytest.mark.parametrize("service_action", [REGISTER, REGISTER_AND_IGNORE])
def test_one_command_registers_the_initiator_port_at_every_target_port(cluster: Cluster, service_action: int) -> None:
    assert cluster.out(4, service_action, 0, 7, ALL_TG_PT).status == 0
    assert registered(cluster) == {1: 7, 4: 7}
    assert cluster.generation() == 1, "it was one command"
    assert cluster.out(1, RESERVE, 7, kind=WE).status == 0


def test_without_the_bit_only_the_port_of_the_command_counts(cluster: Cluster) -> None:
    cluster.register(0)
    assert registered(cluster) == {0: 1}
    assert cluster.out(OTHER_PORT, RESERVE, 1, kind=WE).status == CONFLICT


def test_a_registered_initiator_port_is_admitted_at_every_port(cluster: Cluster) -> None:
    registered_at_both_ports(cluster, 0, 1)
    assert cluster.out(0, RESERVE, 1, kind=EA_RO).status == 0
    answers = [cluster.command(READ, nexus=cluster.hosts[host]).status for host in range(6)]
    assert answers == [0, 0, CONFLICT, 0, 0, CONFLICT]


def test_the_key_changes_at_all_ports(cluster: Cluster) -> None:
    registered_at_both_ports(cluster, 0, 1)
    assert cluster.out(0, REGISTER, 1, 9, ALL_TG_PT).status == 0
    assert registered(cluster) == {0: 9, 1: 2, 3: 9, 4: 2}


def test_all_ports_or_none_if_a_key_differs(cluster: Cluster) -> None:
    cluster.register(0, OTHER_PORT)
    for key, host in ((1, 0), (0, 0), (4, 0)):
        assert cluster.out(host, REGISTER, key, 9, ALL_TG_PT).status == CONFLICT
    assert registered(cluster) == {0: 1, 3: 4}
    assert cluster.out(0, REGISTER_AND_IGNORE, 0, 9, ALL_TG_PT).status == 0
    assert registered(cluster) == {0: 9, 3: 9}


def test_a_port_that_is_not_registered_yet_joins(cluster: Cluster) -> None:
    cluster.register(0)
    assert cluster.out(0, REGISTER, 1, 1, ALL_TG_PT).status == 0
    assert registered(cluster) == {0: 1, 3: 1}


@pytest.mark.parametrize("service_action", [REGISTER, REGISTER_AND_IGNORE])
def test_zero_unregisters_at_all_ports(cluster: Cluster, service_action: int) -> None:
    registered_at_both_ports(cluster, 0, 1)
    assert cluster.out(OTHER_PORT, RESERVE, 1, kind=WE_RO).status == 0
    assert cluster.out(0, service_action, 1, 0, ALL_TG_PT).status == 0
    assert registered(cluster) == {1: 2, 4: 2}
    assert cluster.reservation() is None, "the holder was one of them"
    assert [cluster.pending(host) for host in range(6)] == [[], [RESERVATIONS_RELEASED], [], [], [RESERVATIONS_RELEASED], []]


def test_zero_without_the_bit_unregisters_one_port(cluster: Cluster) -> None:
    registered_at_both_ports(cluster, 0)
    assert cluster.out(0, REGISTER, 1, 0).status == 0
    assert registered(cluster) == {3: 1}


def test_a_sender_that_is_not_registered_unregisters_its_other_port_by_ignoring_keys(cluster: Cluster) -> None:
    cluster.register(OTHER_PORT)
    assert cluster.out(0, REGISTER_AND_IGNORE, 0, 0, ALL_TG_PT).status == 0
    assert registered(cluster) == {}


def test_preempting_a_key_fences_an_initiator_at_every_port(cluster: Cluster) -> None:
    registered_at_both_ports(cluster, 0, 1)
    assert cluster.out(0, RESERVE, 1, kind=WE_RO).status == 0
    assert cluster.out(4, PREEMPT, 2, 1, kind=WE_RO).status == 0
    assert registered(cluster) == {1: 2, 4: 2}


def test_specified_initiator_ports_are_registered_at_every_port(cluster: Cluster) -> None:
    listed = specified(transport_id(port_name(1)), transport_id(port_name(0)))
    assert cluster.send(0, REGISTER, basic_list(0, 5, SPEC_I_PT | ALL_TG_PT, listed)).status == 0
    assert registered(cluster) == {0: 5, 1: 5, 3: 5, 4: 5}


def test_a_specified_initiator_port_that_is_registered_anywhere_is_refused(cluster: Cluster) -> None:
    cluster.register(4)
    listed = specified(transport_id(port_name(1)))
    assert code_of(cluster.send(0, REGISTER, basic_list(0, 5, SPEC_I_PT | ALL_TG_PT, listed))) == INVALID_FIELD_IN_LIST
    assert registered(cluster) == {4: 5}
    assert cluster.send(0, REGISTER, basic_list(0, 5, SPEC_I_PT, listed)).status == 0, "at the port of the command it is not"


def test_a_device_name_stands_for_its_ports_at_all_target_ports(cluster: Cluster) -> None:
    device = port_name(1).partition(",")[0]
    cluster.server.detach(cluster.hosts[1])
    listed = specified(transport_id(device, 0))
    assert code_of(cluster.send(0, REGISTER, basic_list(0, 5, SPEC_I_PT, listed))) == INVALID_FIELD_IN_LIST
    assert cluster.send(0, REGISTER, basic_list(0, 5, SPEC_I_PT | ALL_TG_PT, listed)).status == 0
    assert registered(cluster) == {0: 5, 1: 5, 3: 5, 4: 5}


def test_only_ports_that_the_initiator_may_use_are_registered(cluster: Cluster) -> None:
    cluster.ports.closed = {(port_name(0), 2), (port_name(1), 1), (port_name(2), 1), (port_name(2), 2)}
    listed = basic_list(0, 5, SPEC_I_PT, specified(transport_id(port_name(1))))
    assert code_of(cluster.send(0, REGISTER, listed)) == INVALID_FIELD_IN_LIST
    listed = basic_list(0, 5, SPEC_I_PT | ALL_TG_PT, specified(transport_id(port_name(2))))
    assert code_of(cluster.send(0, REGISTER, listed)) == INVALID_FIELD_IN_LIST
    listed = basic_list(0, 5, SPEC_I_PT | ALL_TG_PT, specified(transport_id(port_name(1))))
    assert cluster.send(0, REGISTER, listed).status == 0
    assert registered(cluster) == {0: 5, 4: 5}


@pytest.mark.parametrize("service_action", [RESERVE, RELEASE, CLEAR])
def test_other_service_actions_ignore_the_bit(cluster: Cluster, service_action: int) -> None:
    registered_at_both_ports(cluster, 0)
    assert cluster.out(0, service_action, 1, 0, ALL_TG_PT, kind=WE).status == 0
    assert cluster.keys() == ([] if service_action == CLEAR else [1, 1])


def test_the_limit_of_registrations_counts_every_port() -> None:
    cluster = Cluster(2, 2)
    cluster.ports = cluster.server.port_access = EveryPort(range(1, MAX_REGISTRATIONS + 1))
    assert cluster.out(0, REGISTER, 0, 1, ALL_TG_PT).status == 0
    assert len(cluster.keys()) == MAX_REGISTRATIONS
    cluster.out(0, CLEAR, 1)
    cluster.ports = cluster.server.port_access = EveryPort(range(1, MAX_REGISTRATIONS + 2))
    cluster.quiet()
    assert code_of(cluster.out(0, REGISTER, 0, 1, ALL_TG_PT)) == NO_ROOM
    listed = specified(transport_id(port_name(0)))
    assert code_of(cluster.send(0, REGISTER, basic_list(0, 1, SPEC_I_PT | ALL_TG_PT, listed))) == NO_ROOM
    assert cluster.keys() == []


def test_zero_unregisters_the_last_of_more_ports_than_can_be_registered() -> None:
    ports = MAX_REGISTRATIONS + 4
    cluster = Cluster(ports, ports)
    last = ports - 1
    cluster.register(0, last)
    assert cluster.out(0, REGISTER, 1, 0, ALL_TG_PT).status == CONFLICT, "the last port has another key"
    assert cluster.out(0, REGISTER_AND_IGNORE, 0, 0, ALL_TG_PT).status == 0
    assert registered(cluster) == {}


def test_a_registration_at_all_ports_outlives_a_loss_of_power() -> None:
    cluster = ClusterOnDisk(6, count_ports=2)
    assert cluster.out(0, REGISTER, 0, 5, ALL_TG_PT | APTPL).status == 0
    assert cluster.out(OTHER_PORT, RESERVE, 5, kind=WE).status == 0
    cluster.lose_power()
    assert registered(cluster) == {0: 5, 3: 5}
    assert cluster.reservation() == (5, WE)
    assert cluster.out(0, REGISTER, 5, 0, ALL_TG_PT | APTPL).status == 0
    cluster.lose_power()
    assert registered(cluster) == {}
    assert cluster.reservation() is None
    cluster.abandon()


# REGISTER AND MOVE.


def test_a_reservation_moves_to_an_initiator_at_another_target_port(cluster: Cluster) -> None:
    cluster.register(0)
    cluster.reserve(0, WE)
    assert cluster.send(0, REGISTER_AND_MOVE, move_list(1, 6, transport_id(port_name(1)), port=2)).status == 0
    assert registered(cluster) == {0: 1, 4: 6}
    assert cluster.out(4, RELEASE, 6, kind=WE).status == 0
    assert cluster.reservation() is None


def test_a_reservation_does_not_move_to_the_same_initiator_port_elsewhere(cluster: Cluster) -> None:
    cluster.register(0)
    cluster.reserve(0, WE)
    reply = cluster.send(0, REGISTER_AND_MOVE, move_list(1, 6, transport_id(port_name(0)), port=2))
    assert (code_of(reply), reply.sense[15:18]) == (INVALID_FIELD_IN_LIST, bytes.fromhex("80 00 18"))


@pytest.mark.parametrize(("port", "field"), [(0, 18), (3, 18), (2, 24)])
def test_a_reservation_moves_to_no_port_that_the_initiator_cannot_use(cluster: Cluster, port: int, field: int) -> None:
    cluster.register(0)
    cluster.reserve(0, WE)
    cluster.ports.closed = {(port_name(1), 2)}
    reply = cluster.send(0, REGISTER_AND_MOVE, move_list(1, 6, transport_id(port_name(1)), port=port))
    assert (code_of(reply), reply.sense[15:18]) == (INVALID_FIELD_IN_LIST, bytes((0x80, 0, field)))
    assert cluster.reservation() == (1, WE)
