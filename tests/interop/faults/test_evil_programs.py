"""Programs of other projects meet each answer of the evil target: none may crash or hang."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from odx_target.target.control.client import request
from odx_target.target.faults.evil import EVIL
from tests.interop.programs import need
from tests.interop.serving import Served, serve

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-evil")]

MAX_RUN_S = 30
"""Time limit of a program. After three hostile answers the target is good again, so a program has nothing to wait for."""
MAX_WAIT_S = 5
"""Time after which a program that waits for a missing answer is ended."""
WITHOUT_ANSWER = {
    "length-of-16-MiB",
    "additional-headers",
    "data-in-of-another-task",
    "response-of-another-task",
    "window-shut",
    "endless-login-text",
    "unknown-reject",
    "more-data-than-asked",
    "less-data-than-said",
}
"""Answers that leave a command without its end. The programs have no timeouts, so they wait for it as long as they are let."""

PROGRAMS = {
    # name: arguments, with {portal} and {lun}
    "iscsi-ls": ("iscsi-ls", "-s", "iscsi://{portal}"),
    "iscsi-inq": ("iscsi-inq", "{lun}"),
    "qemu-img": ("qemu-img", "info", "{lun}"),
}
CRASHES = {-4, -6, -7, -8, -11, 132, 134, 135, 136, 139}
"""Exit codes of a program that a fault has ended."""


@pytest.fixture(scope="module")
def pool(module_path: Path) -> Iterator[tuple[Served, Path]]:
    served = serve(module_path / "pool", ("first=64M",), log_path=module_path / "serve.log")
    try:
        yield served, module_path / "pool"
    finally:
        served.kill()


@pytest.mark.parametrize("name", EVIL)
def test_no_program_crashes_or_hangs(pool: tuple[Served, Path], name: str) -> None:
    served, path = pool
    limit_s = MAX_WAIT_S if name in WITHOUT_ANSWER else MAX_RUN_S
    for program, words in PROGRAMS.items():
        need(program)
        request(path, "fault-clear", {})
        request(path, "fault-add", {"rule": {"evil": name, "times": 3}})
        arguments = [word.format(portal=served.portal, lun=served.url(0)) for word in words]
        try:
            done = subprocess.run(arguments, capture_output=True, timeout=limit_s, check=False, cwd=path.parent)
        except subprocess.TimeoutExpired:
            assert name in WITHOUT_ANSWER, f"{program} hangs"
            continue
        assert done.returncode not in CRASHES, (program, done.stderr[-500:])
    request(path, "fault-clear", {})
    assert subprocess.run(["iscsi-inq", served.url(0)], capture_output=True, timeout=MAX_RUN_S, check=False).returncode == 0
    assert not Path("/tmp/odx-evil").exists()
