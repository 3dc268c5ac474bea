"""A disk of Linux fails over to a second array, which has received its snapshots, and back to the first one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from odx_target.cli.app import application
from odx_target.target.control.client import request
from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot
from tests.interop.links import LINK, wait_for_link

pytestmark = pytest.mark.interop

IQN_OF_OTHER = "iqn.2026-11.io.odx-target:other"

EXT4 = """
module ext4
mkdir -p /mnt/moved
write() {
    for number in $(seq $1 $2); do
        dd if=/dev/urandom of=/mnt/moved/$number bs=8k count=$((number % 16 + 1)) conv=fsync 2>/dev/null
    done
    (cd /mnt/moved && md5sum $(seq $1 $2)) >>/tmp/sums
}
check() { (cd /mnt/moved && md5sum --quiet -c /tmp/sums); echo "files checked: $(wc -l </tmp/sums)"; }
clean() { umount /mnt/moved; e2fsck -f -n $(disk $lun); logout; }
"""
"""Shell functions: write files and note their sums, compare all files that were noted, and check and leave the file system."""


def typed(*words: str | Path) -> str:
    """Type a command of `odx-target`, and return its output."""
    result = CliRunner().invoke(application([str(words[0])]), list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.output


def test_ext4_fails_over_and_back(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    one_pool, other_pool = tmp_path / "one", tmp_path / "other"
    one = start(("vm=96M",), pool="one", options=LINK)
    of_other = {"target": IQN_OF_OTHER}
    other = start(pool="other", luns=("own=1M",), options=(*LINK, "--pair", str(one_pool), "--iqn", IQN_OF_OTHER))
    wait_for_link(one_pool)
    link = ("--link-port", str(request(one_pool, "paths", {})["link_port"]))
    typed("protect", one_pool, "vm", "--path", "other")
    guest = boot_guest(one)
    guest.run(
        f"""{EXT4} discover >/dev/null; key timeo.replacement_timeout 1; login
        mkfs.ext4 -q -F $(disk 0); mount -t ext4 $(disk 0) /mnt/moved; write 1 20; sync"""
    )
    typed("replicate", one_pool, "vm", "--now", "--wait", "60")
    guest.run("echo lost >/mnt/moved/lost; sync")

    one.kill()
    promoted = typed("promote", other_pool, "peer/one/vm")
    assert promoted.startswith("LUN 1: vm")
    guest.run(
        """left() { [ -z "$(sessions)" ]; }
        umount -l /mnt/moved; node --logout >/dev/null || true; within 60 left"""
    )
    mounted = guest.run(
        f"""{EXT4} discover >/dev/null; login; e2fsck -f -y $(disk 1) || [ $? = 1 ]
        mount -t ext4 $(disk 1) /mnt/moved; check; ls /mnt/moved""",
        lun=1,
        portal=other.portal,
        **of_other,
    )
    assert "files checked: 20" in mounted
    assert "lost" not in mounted.split(), "it was written after the last snapshot that was sent"
    guest.run(f"{EXT4} rm /mnt/moved/7; sed -i '/ 7$/d' /tmp/sums; write 21 40; sync", portal=other.portal, lun=1, **of_other)

    one = start(pool="one", options=link, portal=one.portal)
    wait_for_link(one_pool)
    reversed_lines = typed("reverse", one_pool, "vm")
    assert "vm@diverged-" in reversed_lines
    guest.run(f"{EXT4} clean", lun=1, portal=other.portal, **of_other)
    typed("replicate", other_pool, "vm", "--now", "--wait", "60")
    assert typed("promote", one_pool, "vm").startswith("LUN 0: vm")
    assert "is a copy now" in typed("reverse", other_pool, "vm")
    checked = guest.run(
        f"""{EXT4} discover >/dev/null; login; e2fsck -f -n $(disk 0); mount -t ext4 $(disk 0) /mnt/moved; check
        write 41 45; check; clean""",
        lun=0,
    )
    assert "files checked: 39" in checked
    assert "files checked: 44" in checked
    typed("replicate", one_pool, "vm", "--now", "--wait", "60")
