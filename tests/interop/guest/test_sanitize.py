"""SANITIZE by `sg_sanitize`: Linux polls the progress, and reads zeros afterwards."""

import re

import pytest

from tests.interop.conformance_run import slow_flushes
from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot

pytestmark = pytest.mark.interop

SANITIZE_TIMEOUT_S = 300
NOT_READY = 2
"""Exit status of sg3-utils."""

PROGRESS = f"""
login
device=$(generic 0); disk=$(disk 0)
tr '\\0' x </dev/zero | dd of=$disk bs=1M count=4 iflag=fullblock oflag=direct 2>/dev/null
expect 0 sg_sanitize --block --early --quick $device
expect {NOT_READY} sg_turs $device
while sg_requests --progress $device | grep 'done'; do sleep 1; done
expect 0 sg_turs $device
"""

AFTERWARDS = """
device=$(generic 0); disk=$(disk 0)
echo "left $(dd if=$disk bs=1M count=4 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c)"
expect 0 sg_sanitize --crypto --wait --quick $(generic 1)
expect 0 sg_sanitize --overwrite --zero --wait --quick $(generic 1)
expect 0 sg_sanitize --fail --quick $(generic 1)
"""


def test_linux_follows_the_progress_of_a_sanitize_operation(boot_guest: Boot, start: Start) -> None:
    served = start(("huge=256T", "small=64M"))
    guest = boot_guest(served)
    with slow_flushes(served):  # Otherwise, the operation ends before the guest asks for its progress.
        ended = guest.start(PROGRESS).wait(SANITIZE_TIMEOUT_S)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    percents = [float(each) for each in re.findall(r"([\d.]+)% done", ended.output)]
    assert percents, ended.output
    assert percents == sorted(percents)
    ended = guest.start(AFTERWARDS).wait(SANITIZE_TIMEOUT_S)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "left 0\n" in ended.output
