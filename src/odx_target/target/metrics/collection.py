"""The metric families of an array. If an array has many metrics, other tasks can run while the families are made.

The number of samples has a bound: only the LUNs with the lowest numbers have samples of their own. All other LUNs, and LUNs
that have been removed, are added together under the label `lun="other"`. LUNs are chosen by their LUN numbers and not by their
load, so that the time series of a LUN have no gaps.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from odx_target.scsi.traffic import BOUNDS_S, BUCKETS_OF_A_DOUBLING, COUNT_OF_BUCKETS, KindTraffic, Traffic
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation
from odx_target.store.api import BLOCK_BYTES, CapacityStatus, CleaningStatus, LogStatus, PoolSpace
from odx_target.target.lun_size import size_bytes_of
from odx_target.target.metrics.exposition import COUNTER, GAUGE, HISTOGRAM, Family, lines
from odx_target.target.metrics.groups import group_families
from odx_target.target.metrics.replication import replication_families

if TYPE_CHECKING:
    from odx_target.target.array import Array

MAX_LUNS_WITH_LABELS = 256
"""Maximum number of LUNs that have samples of their own. An answer then has at most about 2,700 lines."""

OTHER_LUNS = "other"

LINES_OF_A_STEP = 4

STEPS_OF_A_LUN = 10

LATENCY_BOUNDS_S = BOUNDS_S[:-1:BUCKETS_OF_A_DOUBLING]
"""Upper bounds of the buckets of the latency histogram: each bound is twice the bound before."""


async def metrics_text(array: "Array") -> bytes:
    """Return the metrics of an array as text. Other tasks can run meanwhile."""
    turns = array.environment.turns
    text: list[str] = []
    async for family in _families(array):
        for line in lines(family):
            text.append(line)
            if not len(text) % LINES_OF_A_STEP and turns.take() <= 0:
                await turns.next()
    return "".join(text).encode()


async def _families(array: "Array") -> AsyncIterator[Family]:
    for family in _pool_families(array):
        yield family
    yield _gauge("odx_pool_logical_bytes", "Sum of the sizes of all volumes.", await _logical_bytes(array))
    for family in _array_families(array):
        yield family
    for family in await _lun_families(array):
        yield family
    for family in await replication_families(array):
        yield family
    for family in await group_families(array):
        yield family


def _pool_families(array: "Array") -> list[Family]:
    pool = array.pool
    status, usage = pool.status(), pool.usage()
    families = [
        _gauge("odx_pool_used_bytes", "Bytes that the data of the pool takes on the disk.", usage.used_bytes),
        _gauge("odx_pool_volumes", "Number of volumes.", len(pool.volumes)),
        _gauge("odx_pool_snapshots", "Number of snapshots.", len(pool.snapshots)),
        _gauge("odx_pool_frozen_maps", "Number of frozen maps of tokens and running copies.", len(pool.frozen_maps)),
        _gauge("odx_pool_failed", "1 if the pool accepts no more writes, else 0.", int(status.failure is not None)),
        _gauge(
            "odx_pool_refuses_changes", "1 if the pool refuses changes at present, else 0.", int(status.no_room is not None)
        ),
        _gauge("odx_pool_damaged_blocks", "Number of known damaged blocks.", len(status.damaged)),
        _gauge("odx_pool_checkpoint_age_seconds", "Time since the last checkpoint.", status.checkpoint_age_s),
        _gauge("odx_pool_checkpoint_failed", "1 if the last checkpoint failed, else 0.", int(bool(status.checkpoint_error))),
    ]
    if usage.available_bytes is not None:
        families.append(_gauge("odx_pool_available_bytes", "Bytes available for data.", usage.available_bytes))
    if status.cleaning is not None:
        families += _cleaning_families(status.cleaning)
    if status.capacity is not None:
        families += _capacity_families(status.capacity)
    if status.log is not None:
        families += _log_families(status.log)
    return families if pool.space is None else families + _space_families(pool.space, array.environment.monotonic())


def _cleaning_families(cleaning: CleaningStatus) -> list[Family]:
    return [
        _gauge(
            "odx_pool_live_bytes", "Bytes in use in full segments, at the last marking.", cleaning.live_blocks * BLOCK_BYTES
        ),
        _gauge(
            "odx_pool_dead_bytes", "Bytes not in use in full segments, at the last marking.", cleaning.dead_blocks * BLOCK_BYTES
        ),
        _counter("odx_pool_host_bytes_total", "Bytes of data written for hosts.", cleaning.host_blocks * BLOCK_BYTES),
        _counter("odx_pool_moved_bytes_total", "Bytes of data that the cleaner moved.", cleaning.moved_blocks * BLOCK_BYTES),
        _counter("odx_pool_header_bytes_total", "Bytes of headers in the log.", cleaning.header_blocks * BLOCK_BYTES),
        _counter("odx_pool_freed_segments_total", "Number of freed segments.", cleaning.freed_segments),
    ]


def _capacity_families(capacity: CapacityStatus) -> list[Family]:
    to_move = Family("odx_pool_to_move_bytes", GAUGE, "Bytes that wait for a move to the other tier, at the last marking.")
    to_move.add(capacity.to_capacity_blocks * BLOCK_BYTES, ("to", "capacity"))
    to_move.add(capacity.to_fast_blocks * BLOCK_BYTES, ("to", "fast"))
    families = [
        to_move,
        _gauge("odx_pool_capacity_used_bytes", "Used bytes of the capacity tier.", capacity.used_blocks * BLOCK_BYTES),
        _counter("odx_pool_placed_bytes_total", "Bytes written to the capacity tier.", capacity.moved_blocks * BLOCK_BYTES),
        _gauge(
            "odx_pool_capacity_failed",
            "1 if no data can be moved to the capacity tier at present, else 0.",
            int(capacity.problem is not None),
        ),
    ]
    if capacity.available_blocks is not None:
        available_bytes = capacity.available_blocks * BLOCK_BYTES
        families.append(_gauge("odx_pool_capacity_available_bytes", "Available bytes of the capacity tier.", available_bytes))
    return families


def _log_families(log: LogStatus) -> list[Family]:
    return [
        _gauge("odx_pool_segments", "Number of segments.", log.count_of_segments),
        _gauge("odx_pool_log_sequence_number", "Sequence number of the next record.", log.next_osn),
        _gauge("odx_pool_durable_sequence_number", "All records with a lower number are durable.", log.durable_osn),
        _gauge("odx_pool_replay_bytes", "Bytes of the log after the last checkpoint.", log.replay_bytes),
        _counter(
            "odx_pool_cold_read_bytes_total", "Bytes not in the page cache when read.", log.cold_read_blocks * BLOCK_BYTES
        ),
    ]


def _space_families(space: PoolSpace, now_s: float) -> list[Family]:
    compressed_bytes = sum(each.compressed_bytes for each in space.volumes.values())
    return [
        _gauge("odx_pool_space_age_seconds", "Age of the last count of all data.", now_s - space.counted_at_s),
        _gauge("odx_pool_unique_bytes", "Bytes that exactly one volume has, at the last count.", space.unique_bytes),
        _gauge("odx_pool_shared_bytes", "Bytes that volumes share with others, at the last count.", space.shared_bytes),
        _gauge("odx_pool_frozen_bytes", "Bytes that only snapshots and tokens have, at the last count.", space.frozen_bytes),
        _gauge("odx_pool_compressed_bytes", "Bytes saved by compression, at the last count.", compressed_bytes),
    ]


def _array_families(array: "Array") -> list[Family]:
    copies = array.copy_manager.copies
    copied = Family("odx_copied_bytes_total", COUNTER, "Bytes copied by token.")
    counters = copies.counters
    for way, size_bytes in (
        ("shared", counters.shared_bytes),
        ("moved", counters.moved_bytes),
        ("zeroed", counters.zeroed_bytes),
    ):
        copied.add(size_bytes, ("way", way))
    return [
        _gauge("odx_luns", "Number of LUNs.", len(array.logical_units)),
        _gauge("odx_sessions", "Number of sessions.", len(array.sessions())),
        _gauge("odx_tokens", "Number of tokens.", len(copies.tokens.live)),
        _gauge("odx_copies", "Number of running copies.", len(copies.operations)),
        _gauge(
            "odx_stepping_aside",
            "1 if new copies are refused at present, else 0.",
            int(copies.stepping_aside.remaining_s(array.environment.monotonic()) is not None),
        ),
        _counter(
            "odx_copies_refused_total",
            "Number of copies refused because the array stepped aside.",
            copies.stepping_aside.refused,
        ),
        _counter("odx_tokens_made_total", "Number of tokens made.", copies.counters.tokens_made),
        copied,
    ]


async def _logical_bytes(array: "Array") -> int:
    total_bytes = 0
    for volume in list(array.pool.volumes.values()):
        total_bytes += size_bytes_of(volume, array.pool)
        array.environment.turns.take()
        await array.environment.turns.next_if_spent()
    return total_bytes


async def _lun_families(array: "Array") -> list[Family]:
    total, others = Traffic(), Traffic()
    others.add_all(array.lun_changes.removed_traffic)
    information = Family("odx_lun_info", GAUGE, "The name of each LUN; the value is 1.")
    of_luns = [
        Family("odx_lun_commands_total", COUNTER, "Number of commands."),
        Family("odx_lun_bytes_total", COUNTER, "Bytes transferred by commands."),
        Family("odx_lun_command_seconds_total", COUNTER, "Sum of the latencies of all commands."),
    ]
    sanitize = Family("odx_luns_in_sanitize", GAUGE, "Number of LUNs by the state of their sanitize operation.")
    operations: list[SanitizeOperation] = []
    for index, (number, unit) in enumerate(sorted(array.logical_units.items())):
        array.environment.turns.take(STEPS_OF_A_LUN)
        await array.environment.turns.next_if_spent()
        if unit.sanitize_operation is not None:
            operations.append(unit.sanitize_operation)
        if index >= MAX_LUNS_WITH_LABELS:
            others.add_all(unit.traffic)
            continue
        total.add_all(unit.traffic)
        information.add(1, ("lun", str(number)), ("name", unit.volume.name))
        _add_lun(of_luns, str(number), unit.traffic)
    _add_lun(of_luns, OTHER_LUNS, others)
    total.add_all(others)
    durations = Family("odx_command_duration_seconds", HISTOGRAM, "Latencies of the commands of all LUNs.")
    for name, kind in total.by_name():
        durations.add_histogram(LATENCY_BOUNDS_S, _counts(kind), kind.latency_sum_s, ("kind", name))
    failed = sum(operation.has_failed for operation in operations)
    sanitize.add(len(operations) - failed, ("state", "running"))
    sanitize.add(failed, ("state", "failed"))
    return [information, *of_luns, sanitize, durations]


def _add_lun(families: Sequence[Family], lun: str, traffic: Traffic) -> None:
    for name, kind in traffic.by_name():
        for family, value in zip(families, (kind.commands, kind.size_bytes, kind.latency_sum_s), strict=True):
            family.add(value, ("lun", lun), ("kind", name))


def _counts(kind: KindTraffic) -> list[int]:
    """Return the number of latencies for each bound of LATENCY_BOUNDS_S, and the number of longer latencies."""
    buckets = kind.buckets or [0] * COUNT_OF_BUCKETS
    # The first bound is that of bucket 0, and each of the next bounds is that of the last of BUCKETS_OF_A_DOUBLING buckets.
    ends = range(0, COUNT_OF_BUCKETS - 1, BUCKETS_OF_A_DOUBLING)
    counts = [sum(buckets[max(0, end - BUCKETS_OF_A_DOUBLING + 1) : end + 1]) for end in ends]
    return [*counts, sum(buckets) - sum(counts)]


def _gauge(name: str, description: str, value: float) -> Family:
    return Family(name, GAUGE, description, [("", (), value)])


def _counter(name: str, description: str, value: float) -> Family:
    return Family(name, COUNTER, description, [("", (), value)])
