"""Metrics of groups for Prometheus."""

from typing import TYPE_CHECKING

from odx_target.replica.sync.group_states import GroupState
from odx_target.target.control.groups.conditions import CONDITIONS
from odx_target.target.control.groups.describe import described_in_turns
from odx_target.target.metrics.exposition import COUNTER, GAUGE, Family

if TYPE_CHECKING:
    from odx_target.target.array import Array


async def group_families(array: "Array") -> list[Family]:
    """Return the metrics of the groups of which an array is a member. There are none without groups."""
    if array.groups is None or array.peering is None or not array.groups.groups:
        return []
    state = Family("odx_group_state", GAUGE, "1 for the present state of a group at this array, else 0.")
    condition = Family("odx_group_condition", GAUGE, "1 for the present condition of a group, else 0.")
    in_sync = Family("odx_group_in_sync", GAUGE, "1 if both members of a group are in sync, else 0.")
    unacknowledged = Family(
        "odx_group_unacknowledged_records", GAUGE, "Records of the log that the other member may not have yet."
    )
    latency = Family("odx_group_write_seconds", GAUGE, "Mean latency of writes since the start, by part.")
    resync = Family("odx_group_resync_bytes", GAUGE, "Data that the present resync has shipped.")
    rate = Family("odx_group_resync_bytes_per_second", GAUGE, "Present rate of the resync.")
    remaining = Family("odx_group_resync_remaining_seconds", GAUGE, "Estimated time to the end of the resync.")
    resyncs = Family("odx_group_resyncs_total", COUNTER, "Number of resyncs.")
    verified = Family("odx_group_verified_total", COUNTER, "Comparisons of both members that found them equal.")
    mismatches = Family("odx_group_mismatches_total", COUNTER, "Comparisons of both members that found a difference.")
    for row in await described_in_turns(array):
        label = ("group", row["name"])
        for each in GroupState:
            state.add(int(row["state"] == each.value), label, ("state", each.value))
        for known in CONDITIONS:
            condition.add(int(row["condition"] == known.name), label, ("condition", known.name))
        in_sync.add(int(row["is_in_sync"]), label)
        if row["unacknowledged"] is not None:
            unacknowledged.add(row["unacknowledged"], label)
        parts = row["latency"]
        shown = {"all": parts["mean_s"], "store": parts["store_s"], "link": parts["link_s"], "peer": parts["peer_s"]}
        for part, value in shown.items():
            if value is not None:
                latency.add(value, label, ("part", part))
        if row["resync"] is not None:
            resync.add(row["resync"]["shipped_bytes"], label)
            rate.add(row["resync"]["bytes_per_second"], label)
            if row["resync"]["remaining_s"] is not None:
                remaining.add(row["resync"]["remaining_s"], label)
        resyncs.add(row["resyncs"], label)
        verified.add(row["verified"], label)
        mismatches.add(row["mismatches"], label)
    return [
        state,
        condition,
        in_sync,
        unacknowledged,
        latency,
        resync,
        rate,
        remaining,
        resyncs,
        verified,
        mismatches,
    ]
