"""Reservations that persist: their format, damage, restarts, and losses of power during a command."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.limits import MAX_REGISTRATIONS
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.conflicts import ReservationType
from odx_target.scsi.reservations.durable import KEY_PREFIX, decode, encode, recall
from odx_target.scsi.reservations.holders import NO_RESERVATIONS, UNKNOWN_RESERVATIONS, NexusName, Reservation, Reservations
from odx_target.store.api import PoolDamaged, PoolFailed
from odx_target.store.log.records import MAX_VALUE_BYTES
from tests.scsi.reserving import (
    APTPL,
    CLEAR,
    EA,
    PREEMPT,
    REGISTER,
    REGISTER_AND_MOVE,
    RELEASE,
    RESERVE,
    WE,
    WE_AR,
    Cluster,
    ClusterOnDisk,
    basic_list,
    move_list,
    out_cdb,
    port_name,
    transport_id,
)
from tests.settings import searching
from tests.sim.simulated_disk import Crash

HOST = NexusName(port_name(0), 1)
OTHER = NexusName(port_name(1), 1)
HELD = Reservations({HOST: 0x1122334455667788, OTHER: 2}, Reservation(ReservationType.EXCLUSIVE_ACCESS, OTHER), 0, True)
HELD_BYTES = bytes.fromhex(
    "01 03 0002 0001"
    " 1122334455667788 0001 002e 69716e2e323030312d30342e636f6d2e6578616d706c653a686f7374302c692c3078303030323364303030303030"
    " 0000000000000002 0001 002e 69716e2e323030312d30342e636f6d2e6578616d706c653a686f7374312c692c3078303030323364303030303031"
    " 581d79d7"
)

names = st.builds(NexusName, st.text(max_size=40), st.integers(0, 0xFFFF))
keys = st.integers(1, (1 << 64) - 1)


@st.composite
def reservations(draw: st.DrawFn) -> Reservations:
    registrations = draw(st.dictionaries(names, keys, max_size=6))
    kind = draw(st.sampled_from([None, *ReservationType])) if registrations else None
    if kind is None:
        reservation = None
    else:
        holder = None if kind.is_all_registrants else draw(st.sampled_from(sorted(registrations)))
        reservation = Reservation(kind, holder)
    return Reservations(registrations, reservation, 0, True)


def test_the_bytes_of_the_format_stay_what_they_are() -> None:
    assert encode(HELD) == HELD_BYTES
    assert decode(HELD_BYTES) == HELD


@given(reservations())
@searching(100)
def test_there_and_back(kept: Reservations) -> None:
    again = decode(encode(kept))
    assert again == kept
    assert list(again.registrations) == list(kept.registrations), "in the same order"


@given(reservations(), st.data())
@searching(200)
def test_damage_is_noticed(kept: Reservations, data: st.DataObject) -> None:
    value = bytearray(encode(kept))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(value), encode(kept)[:at]):
        with pytest.raises(ValueError):
            decode(damaged)


UNBELIEVABLE = {
    # all of these have a valid checksum
    "a later format": "02 00 0000 ffff",
    "a type that is none": "01 02 0001 0000 0000000000000001 0001 0001 61",
    "a holder that is not registered": "01 03 0001 0001 0000000000000001 0001 0001 61",
    "all registrants, and nobody is": "01 07 0000 ffff",
    "fewer registrations than it says": "01 00 0002 ffff 0000000000000001 0001 0001 61",
    "more than it says": "01 00 0000 ffff 0000000000000001 0001 0001 61",
    "the same twice": "01 00 0002 ffff 0000000000000001 0001 0001 61 0000000000000001 0001 0001 61",
    "a key of zero": "01 00 0001 ffff 0000000000000000 0001 0001 61",
    "a name cut short": "01 00 0001 ffff 0000000000000001 0001 0002 61",
    "a registration cut short": "01 00 0001 ffff 0000000000000001 00",
    "a name that is no text": "01 00 0001 ffff 0000000000000001 0001 0001 ff",
    "nothing": "",
}


@pytest.mark.parametrize("name", UNBELIEVABLE)
def test_what_makes_no_sense_keeps_the_pool_from_being_served(name: str) -> None:
    cluster = Cluster(1)
    body = bytes.fromhex(UNBELIEVABLE[name])
    cluster.pool.values[KEY_PREFIX + cluster.volume.identity.hex()] = body + zlib.crc32(body).to_bytes(4, "big")
    with pytest.raises(PoolDamaged, match=r"reservations of volume .* cannot be read"):
        recall(cluster.pool, cluster.volume.identity)


def test_as_many_as_there_may_be_fit_one_value() -> None:
    longest = "n" * 255 + ",i,0x00023d000000"  # the longest name that login accepts, and an ISID
    many = {NexusName(longest, number): 1 for number in range(MAX_REGISTRATIONS)}
    assert len(encode(Reservations(many, None, 0, True))) <= MAX_VALUE_BYTES


def test_a_volume_without_any_has_none() -> None:
    cluster = Cluster(1)
    assert recall(cluster.pool, cluster.volume.identity) is NO_RESERVATIONS


@pytest.mark.parametrize("action", [CLEAR, PREEMPT])
def test_unknown_reservations_keep_all_hosts_out_until_a_host_ends_them(action: int) -> None:
    cluster = Cluster()
    key = f"{KEY_PREFIX}{cluster.volume.identity.hex()}"
    cluster.pool.remember(key, b"that nobody can read")
    cluster.logical_unit.reservations = UNKNOWN_RESERVATIONS
    cluster.register(0)
    (unknown, own) = cluster.keys()
    for host in cluster.hosts:
        assert cluster.command("28" + "00" * 9, nexus=host).status == 0x18
    assert cluster.out(0, action, own, unknown, kind=WE).status == 0
    assert cluster.command("28" + "00" * 9, nexus=cluster.hosts[1]).status == 0
    assert cluster.pool.remembered(key) is None, "the array could not start with it"


# On a disk.


@pytest.mark.parametrize("end", [ClusterOnDisk.kill, ClusterOnDisk.lose_power])
@pytest.mark.parametrize("kind", [WE, EA, WE_AR])
def test_with_aptpl_a_reservation_outlives_everything(end, kind: int) -> None:
    cluster = ClusterOnDisk()
    cluster.register(0, 1, flags=APTPL)
    cluster.reserve(1, kind)
    before = cluster.logical_unit.reservations
    end(cluster)
    after = cluster.logical_unit.reservations
    assert (after.registrations, after.reservation) == (before.registrations, before.reservation)
    assert after.generation == 0, "as after every power on"
    assert cluster.command("2a" + "00" * 9, nexus=cluster.hosts[2]).status == 0x18
    assert cluster.out(1, RELEASE, 2, kind=kind).status == 0
    end(cluster)
    assert cluster.reservation() is None
    assert cluster.keys() == [1, 2]
    cluster.abandon()


@pytest.mark.parametrize("end", [ClusterOnDisk.kill, ClusterOnDisk.lose_power])
def test_without_aptpl_nothing_outlives_the_process(end) -> None:
    cluster = ClusterOnDisk()
    cluster.register(0, flags=APTPL)
    cluster.register(1)
    cluster.reserve(0, WE)
    end(cluster)
    assert cluster.logical_unit.reservations == NO_RESERVATIONS
    assert not cluster.logical_unit.pool.remembered_keys(KEY_PREFIX)
    cluster.abandon()


def test_only_what_is_to_persist_costs_a_flush() -> None:
    cluster = Cluster()
    cluster.register(0)
    cluster.reserve(0, WE)
    assert not cluster.pool.flushes
    cluster.register(1, flags=APTPL)
    assert cluster.pool.flushes == 1
    cluster.reserve(0, WE)
    assert cluster.pool.flushes == 2, "what was there may have been on its way to the disk still"
    cluster.register(2)
    assert cluster.pool.flushes == 3, "that it is not to persist any more has to be there, too"
    cluster.out(0, RELEASE, 1, kind=WE)
    assert cluster.pool.flushes == 3


def test_a_flush_that_fails_is_told() -> None:
    cluster = Cluster(1)
    cluster.pool.flush_failure = PoolFailed("the disk is gone")
    reply = cluster.out(0, REGISTER, 0, 1, APTPL)
    assert reply.status == 2
    assert reply.sense[2] == 4, "hardware error"


CUT_SHORT = {
    "register": (REGISTER, basic_list(1, 9, APTPL), 0),
    "unregister": (REGISTER, basic_list(1, 0, APTPL), 0),
    "persist no more": (REGISTER, basic_list(1, 1), 0),
    "release": (RELEASE, basic_list(1), WE),
    "preempt": (PREEMPT, basic_list(1, 2), WE),
    "change the type": (PREEMPT, basic_list(1, 1), EA),
    "clear": (CLEAR, basic_list(1), 0),
    "move": (REGISTER_AND_MOVE, move_list(1, 7, transport_id(port_name(2)), 1), 0),
}


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("name", CUT_SHORT)
def test_a_command_that_is_cut_off_was_carried_out_or_was_not(name: str, power: bool) -> None:
    """The test is repeated with a failure of the process or the power in the first disk operation, in the second, and so on."""
    service_action, data, kind = CUT_SHORT[name]
    for operations in range(20):
        cluster = ClusterOnDisk(3, seed=operations)
        cluster.register(0, 1, flags=APTPL)
        cluster.reserve(0, WE)
        before = kept(cluster)
        cluster.disk.crash_after(operations)
        answered = False
        with suppress(Crash):
            answered = cluster.send(0, service_action, data, kind=kind).status == 0
        cluster.disk.crash_after(None)
        meant = kept(cluster)
        assert meant != before
        if power:
            cluster.lose_power()
        else:
            cluster.kill()
        after = kept(cluster)
        cluster.abandon()
        if name == "persist no more":
            meant = (False,), None
        assert after in ((meant,) if answered else (before, meant))
        if answered:
            return
    raise AssertionError("it never came to an end")


def kept(cluster: Cluster) -> object:
    found = cluster.logical_unit.reservations
    return (*found.registrations.items(), found.persists_through_power_loss), found.reservation


def test_the_answer_waits_for_the_disk() -> None:
    cluster = Cluster(1)
    cluster.pool.flush_delay_s = 1.0
    started = cluster.start(out_cdb(REGISTER, 24), basic_list(0, 1, APTPL), nexus=cluster.hosts[0])
    cluster.environment.advance(0.5)
    assert not started.is_done
    cluster.environment.advance(1.0)
    assert started.reply == Reply(transfer_bytes=24)


def test_reserving_again_waits_as_well() -> None:
    cluster = Cluster(1)
    cluster.register(0, flags=APTPL)
    cluster.pool.flush_delay_s = 1.0
    cdb, data = out_cdb(RESERVE, 24, WE), basic_list(1)
    first = cluster.start(cdb, data, nexus=cluster.hosts[0])
    again = cluster.start(cdb, data, nexus=cluster.hosts[0])
    cluster.environment.advance(0.5)
    assert not first.is_done
    assert not again.is_done, "the first may still be lost"
    cluster.environment.advance(1.0)
    assert first.reply.status == again.reply.status == 0
