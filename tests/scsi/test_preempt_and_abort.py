"""PREEMPT AND ABORT: which tasks it aborts, and which it does not."""

import pytest

from tests.scsi.array import Started
from tests.scsi.reserving import (
    BLOCK,
    EA,
    PREEMPT,
    PREEMPT_AND_ABORT,
    REGISTRATIONS_PREEMPTED,
    RESERVE,
    TEST_UNIT_READY,
    WE,
    WE_AR,
    WRITE,
    Cluster,
)


def busy_cluster() -> Cluster:
    """Return a cluster with hosts 0, 1 and 2 registered, and slow reads."""
    cluster = Cluster(3)
    cluster.register(0, 1, 2)
    cluster.volume.is_cold = lambda: True
    cluster.volume.read_delay_s = 1.0
    return cluster


def begin_write(cluster: Cluster, host: int) -> Started:
    """Begin a write of a host to a block that no other host writes."""
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
    """A reservation is made while a write waits. The service action runs beside it, and does not stay in the task set."""
    cluster = busy_cluster()
    write = cluster.start(WRITE, BLOCK, nexus=cluster.hosts[0])
    assert cluster.out(1, RESERVE, 2, kind=WE).status == 0
    assert [member.task for member in cluster.logical_unit.tasks.members] == [write.task]
    assert cluster.command(TEST_UNIT_READY, nexus=cluster.hosts[0]).status == 0
    cluster.environment.advance(10.0)
    assert write.reply.status == 0
