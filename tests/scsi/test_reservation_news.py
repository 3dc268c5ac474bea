"""Unit attentions after a reservation is released, cleared, preempted or moved."""

import pytest

from tests.scsi.reserving import (
    BLOCK,
    CLEAR,
    CONFLICT,
    EA,
    EA_RO,
    PREEMPT,
    REGISTER,
    REGISTRATIONS_PREEMPTED,
    RELEASE,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
    TYPES,
    UNREG,
    WE,
    WE_AR,
    WE_RO,
    WRITE,
    Cluster,
)


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
