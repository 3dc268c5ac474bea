"""A Linux guest with dm-multipath and ext4 on a synchronous group, whose arrays are killed, frozen and cut off under load.

`make failover` causes many faults (FAILOVER=whole). Other runs cause one of each of three kinds. The lines after the table of
results tell how long writes waited.
"""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from odx_target.target.control import client
from tests.interop.guest.conftest import FINDINGS, Boot, Guest
from tests.interop.guest.gap_traces import GapTraces
from tests.interop.guest.gaps import Fault, gap_lines, longest_gap, longest_gaps
from tests.interop.guest.grouped_arrays import GROUP, GroupedArrays, grouped_arrays

pytestmark = pytest.mark.interop

FAILOVER = os.environ.get("FAILOVER", "")
"""`whole` for all faults of the whole form, names of faults with commas between them, or nothing for the short form."""

SHORT = ("kill", "cut_members", "switch_over")
CUTS = ("cut_members", "lose_secondary", "isolate_primary", "cut_hosts")
WHOLE = (*(name for number in range(20) for name in ("kill", CUTS[number % 4])), "freeze", *["switch_over"] * 5)
FAULTS = {"": SHORT, "whole": WHOLE}.get(FAILOVER) or tuple(FAILOVER.split(","))
"""The faults of a run, by the names of the methods of GroupedArrays."""

IS_LONG = FAILOVER != ""
"""True if the load has time between the faults, long gaps are explained, and both arrays are checked at the end."""

SHORT_LOAD = "verbosity=2 size=1M\n. /lib/multipath.sh\n"
LONG_LOAD = "verbosity=3 size=2M\n. /lib/multipath.sh\n"

PAUSE_S = 3.0
"""Time between two faults of a long form, in which hosts go on."""

LOAD_TIMEOUT_S = 180
DISK = "/dev/mapper/mpatha"

BEGIN = f"""
multipath_disk; multipath -ll
mkfs.ext4 -q -F {DISK}; mkdir -p /mnt/group; mount -t ext4 {DISK} /mnt/group
"""

CHECK = f"""
e2fsck -f -n {DISK} 2>&1; mount -t ext4 {DISK} /mnt/group
has_records /mnt/group/records $records
verified /mnt/group/verified $seed --verify_only
umount /mnt/group
no_errors
"""


class Load:
    """The scripts that write records and verified data until they are stopped."""

    def __init__(self, guest: Guest) -> None:
        self._stop = guest.share / "stop"
        self._stop.unlink(missing_ok=True)
        self._records = guest.start("write_records /mnt/group/records")
        self._verified = guest.start("write_verified /mnt/group/verified")

    @property
    def times_s(self) -> list[float]:
        """The times of the guest at which each record was durable."""
        return [float(line.split()[2]) for line in self._records.output.splitlines() if line.startswith("durable")]

    def wait_for_more(self) -> None:
        """Wait until a further record is durable. Raises GuestError, also if the load has ended."""
        self._records.wait_for(f"durable {len(self.times_s) + 1} ", LOAD_TIMEOUT_S)
        assert self._verified.status is None, self._verified.output

    def stop(self) -> tuple[int, int]:
        """Stop the load, which must have had no error. Returns the number of the records, and the last seed."""
        self._stop.touch()
        for job in (self._records, self._verified):
            ended = job.wait(LOAD_TIMEOUT_S)
            assert ended.status == 0, ended.output
        return len(self.times_s), self._verified.output.count("verified")


def test_a_group_serves_through_faults(boot_guest: Boot, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with ExitStack() as running, ThreadPoolExecutor(1) as threads:
        starting = threads.submit(running.enter_context, grouped_arrays(tmp_path))
        guest = boot_guest(extras=("fio", "multipath"))
        arrays = starting.result()
        guest.prelude = LONG_LOAD if IS_LONG else SHORT_LOAD
        topology = guest.run(BEGIN, **_addresses(arrays))
        assert "prio=50 status=active" in topology
        assert "ghost running" in topology
        load = Load(guest)
        load.wait_for_more()
        faults: list[Fault] = []
        traces = GapTraces(guest, arrays)
        kept = []
        for number, name in enumerate(FAULTS, 1):
            faults.append(Fault(name, load.times_s[-1]))
            try:
                getattr(arrays, name)()
                load.wait_for_more()
            except AssertionError:
                with suppress(AssertionError):
                    traces.end_fault(number, name, math.inf)
                raise
            gap_s = longest_gap(load.times_s, faults[-1].began_s)
            if IS_LONG:
                kept.append(traces.end_fault(number, name, gap_s))
                guest.run("no_errors")
                time.sleep(PAUSE_S)
        records, seed = load.stop()
        lines = [f"{records} records, {seed} rounds of fio", *gap_lines(longest_gaps(faults, load.times_s))]
        lines += [f"traces of a long gap: {folder}" for folder in kept if folder]
        request.node.user_properties.append((FINDINGS, lines))
        guest.run(f"umount /mnt/group {CHECK}", records=records, seed=seed)
        if IS_LONG:
            arrays.switch_over()
            guest.run(CHECK, records=records, seed=seed)  # The other array has everything too.
        _require_equal(arrays)
        guest.run("end_multipath")


def _addresses(arrays: GroupedArrays) -> dict[str, str]:
    """The variables with the portals and target names of both arrays."""
    found: dict[str, str] = {}
    for number, member in enumerate(arrays.members, 1):
        found |= {f"portal_{number}": member.hosts.portal, f"target_{number}": member.iqn}
    return found


def _require_equal(arrays: GroupedArrays) -> None:
    """Both arrays must have equal data on their disks, and have found no difference before."""
    primary, other = arrays.roles()
    assert client.request(primary.pool, "group-verify", {"name": GROUP, "read": True})["is_equal"]
    arrays.until(lambda: primary.status()["reading"]["is_over"])
    reading = primary.status()["reading"]
    assert (reading["failure"], reading["different"], reading["damaged"]) == ("", 0, 0)
    assert [member.status()["mismatches"] for member in (primary, other)] == [0, 0]
