"""Two arrays with a synchronous group, and its witness, each a process of its own, with paths that can be cut.

All connections pass through relays: those of hosts to each array, and those between the three.
"""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odx_target.replica.pairing.path_key import new_path_key
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer, request
from tests.interop.guest.relay import Relay
from tests.interop.serving import Served, serve

GROUP = "db"
SIZE = "128M"

OUT_OF_SYNC_S = 8
"""Time for which writes wait for a silent secondary. Longer cuts then end in a resync within a short test."""

SHORT_CUT_S = 3.0
"""Time of a cut after which everybody goes on as before."""

TIMEOUT_S = 90.0
LOOK_S = 0.1
END_TIMEOUT_S = 20.0


def free_portal() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Member:
    """An array of the group, and the relay through which hosts reach it."""

    def __init__(self, name: str, folder: Path, luns: tuple[str, ...]) -> None:
        self.name = name
        self.pool = folder / name
        self.iqn = f"iqn.2026-11.io.odx-target:{name}"
        self.link = free_portal()
        self.is_up = True
        self._log = folder / f"{name}.log"
        self._trace = folder / f"{name}.trace"
        self.served = self._serve(free_portal(), luns)
        self.hosts = Relay(self.served.portal)

    def _serve(self, portal: str, luns: tuple[str, ...] = ()) -> Served:
        options = ("--link-port", self.link, "--iqn", self.iqn, "--trace", str(self._trace))
        return serve(self.pool, luns, log_path=self._log, portal=portal, options=options)

    @property
    def records(self) -> tuple[Path, Path]:
        """The log of the array, and the trace of its commands. Both are appended to."""
        return self._log, self._trace

    def restart(self) -> None:
        """Start the array again after it was killed, at the same addresses."""
        self.served = self._serve(self.served.portal)
        self.hosts.restore()
        self.is_up = True

    def kill(self) -> None:
        """Kill the array. Connections of hosts are refused at once, as by a machine without it.

        Linux 6.1 never logs in again after a connection that was accepted and ended before the login.
        """
        self.is_up = False
        self.served.kill()
        self.hosts.cut()

    def freeze(self) -> None:
        self.is_up = False
        self.served.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.served.process.send_signal(signal.SIGCONT)
        self.is_up = True

    def close(self) -> None:
        self.hosts.cut()
        self.served.kill()

    def status(self) -> Mapping[str, Any]:
        """Status of the group at this array, which is empty if the array does not answer."""
        if not self.is_up:
            return {}
        try:
            return request(self.pool, "group-status", {"name": GROUP})
        except (ManagementError, NoServer, NoResponse):
            return {}

    @property
    def serves(self) -> bool:
        return self.status().get("state") == "serving"

    @property
    def is_secondary(self) -> bool:
        """True if this array serves no hosts, and is in sync or gets what it misses."""
        return self.status().get("state") in ("standby", "out of sync")


@dataclass
class GroupedArrays:
    """The running arrays. Each fault returns when the group is in sync again."""

    members: tuple[Member, Member]
    between: Relay
    to_witness: dict[str, Relay]
    """By the name of the array: the path between the witness and it."""

    def status(self) -> str:
        """The status of the group at both arrays."""
        return "\n".join(f"{member.name}: {dict(member.status())}" for member in self.members)

    def roles(self) -> tuple[Member, Member]:
        """Wait until an array serves the group. Returns it and the other one."""
        self.until(lambda: any(member.serves for member in self.members))
        one, other = self.members
        return (one, other) if one.serves else (other, one)

    def until(self, look: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not look():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"nothing has happened in {TIMEOUT_S} s:\n{self.status()}")
            time.sleep(LOOK_S)

    def wait_in_sync(self) -> None:
        """Wait until an array serves hosts, and the other one has everything and may take over."""

        def is_in_sync() -> bool:
            found = [member.status() for member in self.members]
            states = sorted(str(status.get("state")) for status in found)
            is_known = any(each.get("condition") == "in sync" and each["unacknowledged"] is not None for each in found)
            return states == ["serving", "standby"] and is_known

        self.until(is_in_sync)

    def kill(self) -> None:
        """Kill the primary, and start it again when the other array has taken over."""
        primary, other = self.roles()
        primary.kill()
        self.until(lambda: other.serves)
        primary.restart()
        self.wait_in_sync()

    def freeze(self) -> None:
        """Stop the process of the primary, and continue it when the other array has taken over."""
        primary, other = self.roles()
        primary.freeze()
        self.until(lambda: other.serves)
        primary.wake()
        self.until(lambda: primary.is_secondary)
        self.wait_in_sync()

    def switch_over(self) -> None:
        primary, other = self.roles()
        request(primary.pool, "group-switchover", {"name": GROUP})
        self.until(lambda: other.serves)
        self.wait_in_sync()

    def cut_members(self) -> None:
        """Break off the path between both arrays for a moment. Writes wait meanwhile."""
        with _broken(self.between):
            time.sleep(SHORT_CUT_S)
        self.wait_in_sync()

    def lose_secondary(self) -> None:
        """Stall the path between both arrays until the primary goes on alone."""
        primary, _ = self.roles()
        with _stalled(self.between):
            self.until(lambda: primary.status().get("condition") == "peer lost")
        self.wait_in_sync()

    def isolate_primary(self) -> None:
        """Stall the paths between the primary and the two others, until the other array takes over."""
        primary, other = self.roles()
        with _stalled(self.between), _stalled(self.to_witness[primary.name]):
            self.until(lambda: other.serves)
        self.until(lambda: primary.is_secondary)
        self.wait_in_sync()

    def cut_hosts(self) -> None:
        """Break off the path of the hosts to the primary for a moment."""
        primary, _ = self.roles()
        with _broken(primary.hosts):
            time.sleep(SHORT_CUT_S)
        self.wait_in_sync()


@contextmanager
def _broken(relay: Relay) -> Iterator[None]:
    relay.cut()
    try:
        yield
    finally:
        relay.restore()


@contextmanager
def _stalled(relay: Relay) -> Iterator[None]:
    relay.stall()
    try:
        yield
    finally:
        relay.restore()


@contextmanager
def grouped_arrays(folder: Path) -> Iterator[GroupedArrays]:
    """Start both arrays and the witness, pair them, and make the group. Everything ends with the block."""
    with ExitStack() as running:
        berlin = Member("berlin", folder, (f"db={SIZE}",))
        running.callback(berlin.close)
        munich = Member("munich", folder, ("other=1M",))
        running.callback(munich.close)
        witness = folder / "witness"
        running.enter_context(_witness(witness, folder / "witness.log"))
        members = (berlin, munich)
        between = running.enter_context(_path(munich.pool, "berlin", berlin.pool, "munich", berlin.link))
        to_witness = {
            member.name: running.enter_context(_path(witness, member.name, member.pool, "witness", member.link))
            for member in members
        }
        found = GroupedArrays(members, between, to_witness)
        for pool in (berlin.pool, munich.pool, witness):
            found.until(lambda pool=pool: _is_connected(pool))  # type: ignore[misc]
        request(
            berlin.pool,
            "group-create",
            {
                "name": GROUP,
                "volumes": ["db"],
                "path": "munich",
                "witness": "witness",
                "luns": {"db": 7},
                "out_of_sync_s": OUT_OF_SYNC_S,
            },
        )
        found.wait_in_sync()
        yield found


@contextmanager
def _path(dialler: Path, peer: str, listener: Path, name: str, link: str) -> Iterator[Relay]:
    """Pair two arrays. `dialler` calls the other array `peer`, and reaches its link port through the relay that is returned."""
    key = new_path_key(secrets.token_bytes)
    with Relay(link) as relay:
        request(listener, "add-path", {"name": name, "key": key})
        request(dialler, "add-path", {"name": peer, "key": key, "address": relay.portal})
        yield relay


def _is_connected(pool: Path) -> bool:
    paths = request(pool, "paths", {})["paths"]
    return [path["state"] for path in paths] == ["connected"] * 2


@contextmanager
def _witness(folder: Path, log_path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "odx_target", "witness", str(folder), "--link", "127.0.0.1:0", "--json"]
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline(), log_path.read_text()
        yield
    finally:
        process.kill()
        process.wait(END_TIMEOUT_S)
