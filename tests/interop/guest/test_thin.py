"""Linux at the thresholds and at the end of a pool's room: it logs, repeats its commands, and reports a lack of space."""

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot

pytestmark = pytest.mark.interop

FILL_TIMEOUT_S = 300

FILL = """
login
disk=$(disk 0)
write() { dd if=/dev/zero bs=1M count=$1 2>/dev/null | tr '\\0' x | dd of=$disk bs=1M iflag=fullblock seek=$2 oflag=direct; }
expect 0 write 52 0
expect 1 write 100 52
echo "lost $(dd if=$disk bs=1M count=52 iflag=direct 2>/dev/null | tr -d x | wc -c)"
blkdiscard -o 0 -l $((8 << 20)) $disk
echo "left $(dd if=$disk bs=1M count=8 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c)"
dmesg
"""


def test_linux_logs_a_threshold_and_then_the_lack_of_space(boot_guest: Boot, start: Start) -> None:
    served = start(("disk=256M",), options=("--pool-limit", "64M"))
    guest = boot_guest(served)
    ended = guest.start(FILL).wait(FILL_TIMEOUT_S)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "lost 0\n" in ended.output
    assert "left 0\n" in ended.output
    assert "reached a thin provisioning soft threshold" in ended.output
    assert "critical space allocation error" in ended.output
    assert "a threshold of the pool's room is reached" in served.log
    assert "the pool is full, writes are refused" in served.log
