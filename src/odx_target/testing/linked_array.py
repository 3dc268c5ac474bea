"""The methods of an array in a test that concern other arrays: pairing and replication."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from odx_target.target.control.arguments import ManagementError

PAIRING_TIMEOUT_S = 30.0
"""Time in which two arrays must connect after both have begun their pairing."""

REPLICATION_TIMEOUT_S = 60.0
"""Time in which another array must have a snapshot, unless the caller gives another time."""

LOOK_INTERVAL_S = 0.005

PATH_KEY_BYTES = 16
"""Number of random bytes of a path key."""


class LinkedArray(ABC):
    """An array with a link port. `RunningArray` is one if it was made with `link=True`."""

    @property
    @abstractmethod
    def link_port(self) -> str | None:
        """Address and port at which other arrays can connect. None without `link=True`."""

    @abstractmethod
    def manage(self, operation: str, **arguments: object) -> Mapping[str, object]:
        """Perform an operation of `odx-target manage`. Raises ManagementError."""

    def pair(self, other: LinkedArray, rights: Sequence[str] | None = None) -> None:
        """Pair the array with another one, so that hosts can use tokens of each array at the other. Both need `link=True`.

        Returns when the arrays are connected. `rights` are those that each array gives to the other: `serve-tokens`,
        `redeem-tokens`, `serve-luns`, `write-luns` and `replicate`; all of them if `rights` is None. Raises ValueError if one
        of the arrays has no link port, ManagementError if they are paired already, and TimeoutError if they do not connect.
        """
        if self.link_port is None or other.link_port is None:
            raise ValueError("both arrays need link=True")
        key = secrets.token_hex(PATH_KEY_BYTES)
        given: dict[str, object] = {"key": key} if rights is None else {"key": key, "rights": list(rights)}
        other.manage("add-path", name=_path_name(self), **given)
        self.manage("add-path", name=_path_name(other), address=other.link_port, **given)
        _wait(lambda: _is_connected(self, other) and _is_connected(other, self), PAIRING_TIMEOUT_S, "the arrays do not connect")

    def protect(self, *luns: str, to: LinkedArray, group: str | None = None, **values: object) -> None:
        """Send the snapshots of LUNs to another array from now on. The arrays must be paired.

        Several LUNs need the name of a `group`; their snapshots appear together. `values` are `trigger`, `keep_there` and
        `schedules`, as for the operation `protect` in docs/control.md. Raises ManagementError.
        """
        self.manage("protect", volumes=list(luns), path=_path_name(to), group=group, **values)

    def replicate(self, name: str, timeout_s: float = REPLICATION_TIMEOUT_S) -> str:
        """Take a snapshot of a protected LUN or group, and return its name when the other array has it.

        Raises ManagementError, and TimeoutError with the reason if the other array does not have it in time.
        """
        taken: Any = self.manage("replicate", name=name, now=True)["snapshots"]
        latest_s = max(each["created_s"] for each in taken)

        def is_there() -> bool:
            there_s = self._protection(name)["progress"]["remote_snapshot_timestamp"]
            return there_s is not None and bool(there_s >= latest_s)

        _wait(is_there, timeout_s, lambda: f"the other array does not have the snapshot: {self._problem(name)}")
        return str(taken[0]["name"])

    def copies(self) -> list[str]:
        """Return the names of the copies that this array receives, or has received until it has promoted them."""
        replication: Any = self.manage("replication")
        return [each["name"] for each in replication["copies"]]

    def promote(self, lun: str, name: str | None = None) -> str:
        """Make the copy of a LUN of another array a LUN that hosts can use, and return its name. It receives no more.

        `lun` is the name of the LUN at the other array, or that of the copy. `name` is the name of the new LUN; by default, it
        is that of the other array. Raises ManagementError.
        """
        replication: Any = self.manage("replication")
        receiving = [each for each in replication["copies"] if each["role"] == "receiving"]
        found = [each["name"] for each in receiving if lun in (each["name"], each["peer_volume"])]
        if len(found) != 1:
            raise ManagementError(f"{len(found) or 'no'} copies of a LUN {lun} are received")
        return str(self.manage("promote", copy=found[0], name=name)["name"])

    def reverse(self, name: str) -> list[str]:
        """Receive a protected LUN or group from the array that has promoted its copy.

        Returns the names of the snapshots with the changes that the other array does not have. Raises ManagementError.
        """
        kept: Any = self.manage("reverse", name=name)["snapshots"]
        return [each["name"] for each in kept]

    def _protection(self, name: str) -> Any:
        replication: Any = self.manage("replication")
        return next(each for each in replication["protections"] if each["name"] == name)

    def _problem(self, name: str) -> str:
        progress = self._protection(name)["progress"]
        return str(progress["problem"] or f"{progress['bytes_remaining']} bytes remain")


def _wait(is_reached: Callable[[], bool], timeout_s: float, message: str | Callable[[], str]) -> None:
    """Wait until a condition is true. Raises TimeoutError."""
    until_s = time.monotonic() + timeout_s
    while not is_reached():
        if time.monotonic() >= until_s:
            raise TimeoutError(message if isinstance(message, str) else message())
        time.sleep(LOOK_INTERVAL_S)


def _path_name(array: LinkedArray) -> str:
    """Return the name of the paths to an array, which is made from its link port."""
    return f"array-{str(array.link_port).rpartition(':')[2]}"


def _is_connected(array: LinkedArray, other: LinkedArray) -> bool:
    paths: Any = array.manage("paths")["paths"]
    return any(each["name"] == _path_name(other) and each["state"] == "connected" for each in paths)
