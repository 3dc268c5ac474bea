"""Arrays for tests on systems that lack calls of Linux: the calls are hidden from a process before it imports the array."""

from pathlib import Path

import pytest

from tests.testing.other_project import run_python

HIDE = """
import mmap, os, select, selectors, socket, subprocess, sys, tempfile, types
import trio, trio.testing, trio.socket

class Absent:
    def __get__(self, instance, owner=None):
        raise AttributeError("hidden")

def hide(module, *names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

def hide_of_all_but_linux():
    hide(os, "sched_getaffinity", "sched_yield", "posix_fallocate", "posix_fadvise", "memfd_create", "RWF_NOWAIT", "O_PATH")
    hide(socket, "TCP_CONGESTION")
    portable = types.ModuleType("select")
    vars(portable).update({name: value for name, value in vars(select).items() if name != "epoll"})
    sys.modules["select"] = portable

def hide_of_windows():
    hide_of_all_but_linux()
    hide(os, "preadv", "pwritev", "pread", "pwrite", "O_DIRECTORY", "O_CLOEXEC", "fork")
    hide(mmap, "MAP_PRIVATE", "MAP_ANONYMOUS")
    socket.socket.sendmsg = Absent()
    sys.modules["fcntl"] = sys.modules["resource"] = None
    selectors.DefaultSelector = selectors.SelectSelector
"""

SCENARIO = """
from odx_target.testing import CommandFailed, running_array

with running_array() as array:
    hosts = [array.host(f"iqn.2026-11.com.example:{number}") for number in range(4)]
    for number, host in enumerate(hosts):
        host.write("a", 8 * number, bytes([number]) * 4096)
        host.write("a", 100, bytes(1 << 20))
    assert hosts[0].read("a", 24, 8) == bytes([3]) * 4096
    assert hosts[0].copy("a", "b").offloaded_bytes == 64 << 20
    assert array.digest("a") == array.digest("b")
    token = hosts[1].populate_token("a")
    array.clock.advance(121)
    assert hosts[1].write_using_token("b", token, check=False).status == 2
    for host in hosts[1:]:
        host.close()
    assert hosts[0].read("b", 8, 1) == bytes([1]) * 512
    array.reset()
"""

DIRECTORY = """
with running_array(directory="pool") as array:
    array.write("a", 0, b"kept")
with running_array(directory="pool") as array:
    assert array.read("a", 0, 4) == b"kept"
"""

NO_DIRECTORY = """
from odx_target.store.api import StoreError
try:
    running_array(directory="pool").start()
except StoreError as error:
    assert "pools in directories need a system with flock" in str(error), error
else:
    raise AssertionError("no refusal")
"""


@pytest.mark.parametrize(
    ("system", "program"),
    [
        ("", SCENARIO + DIRECTORY),
        ("hide_of_all_but_linux()", SCENARIO + DIRECTORY),
        ("hide_of_windows()", SCENARIO + NO_DIRECTORY),
    ],
    ids=["linux", "without calls of linux", "without calls of windows"],
)
def test_an_array_runs_without_the_calls_of_linux(tmp_path: Path, system: str, program: str) -> None:
    done = run_python(tmp_path, f"{HIDE}\n{system}\n{program}\nprint('done')")
    assert done.stdout.splitlines()[-1:] == ["done"], done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
