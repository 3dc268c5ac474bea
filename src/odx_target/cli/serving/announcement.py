"""The announcement of a served array: how hosts connect to it, as text or as one line of JSON."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from odx_target import __version__
from odx_target.cli.failure import drop_output
from odx_target.cli.text.json_text import json_text
from odx_target.cli.text.output import show
from odx_target.store.error_kinds import reason
from odx_target.target.access.targets import Target
from odx_target.target.array import Array
from odx_target.target.config.private_file import write_private
from odx_target.target.config.settings import Portal
from odx_target.target.event_log import log


class ServedTarget(TypedDict):
    """A target."""

    name: str
    portals: Annotated[list[str], "HOST:PORT of each portal"]


class ServedLun(TypedDict):
    """A LUN."""

    lun: Annotated[int, "LUN number"]
    name: str
    size_bytes: int
    block_bytes: int
    url: Annotated[str, "URL of the LUN at the first portal of the first target"]


class ServedHttp(TypedDict):
    """The HTTP control port."""

    url: str
    token: Annotated[str, "token that clients send"]


class ServedArray(TypedDict):
    """How hosts connect to an array, and the places where it is managed. `serve --ready-file` writes the same line."""

    version: Annotated[int, "always 1; see `schema`"]
    program: Annotated[str, "version of odx-target"]
    pid: int
    portals: Annotated[list[str], "HOST:PORT of each portal"]
    targets: list[ServedTarget]
    luns: list[ServedLun]
    control: Annotated[str | None, "path of the control socket"]
    http: Annotated[ServedHttp | None, "null without --http"]
    personality: Annotated[str | None, "name of the personality; null if there is none"]


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """The URL of the HTTP control port, and the token that its clients send."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """A served array, and the places where it is managed. A place that is None does not exist."""

    array: Array
    control: Path | None
    http: HttpAddress | None = None

    def show(self, *, as_json: bool) -> None:
        """Print how hosts connect. The function blocks while standard output is a pipe that nobody reads. If the output cannot
        be written, the array still serves.
        """
        try:
            if as_json:
                show(self.line())
            else:
                self._print_text()
        except OSError as error:
            drop_output()
            log.warning("cannot print how to connect", error=reason(error))

    def line(self) -> str:
        """Return one line of JSON, the result `serve` of the table of results."""
        array = self.array
        luns: list[ServedLun] = [
            {
                "lun": number,
                "name": unit.volume.name,
                "size_bytes": unit.capacity_blocks * unit.block_bytes,
                "block_bytes": unit.block_bytes,
                "url": f"iscsi://{array.portals[0]}/{array.targets[0].name}/{number}",
            }
            for number, unit in sorted(array.logical_units.items())
        ]
        targets: list[ServedTarget] = [
            {"name": target.name, "portals": [str(portal) for portal in target.portals]} for target in array.targets
        ]
        answer: ServedArray = {
            "version": 1,
            "program": __version__,
            "pid": os.getpid(),
            "portals": [str(portal) for portal in array.portals],
            "targets": targets,
            "luns": luns,
            "control": None if self.control is None else str(self.control.absolute()),
            "http": None if self.http is None else {"url": self.http.url, "token": self.http.token},
            "personality": array.config.personality.name or None,
        }
        return json_text("serve", answer, None)

    def _print_text(self) -> None:
        for number, logical_unit in sorted(self.array.logical_units.items()):
            size_bytes = logical_unit.capacity_blocks * logical_unit.block_bytes
            show(f"LUN {number}: {logical_unit.volume.name}, {size_bytes} bytes in blocks of {logical_unit.block_bytes}")
        for target in self.array.targets:
            for portal in target.portals:
                _print_how_to_log_in(target, portal)
        if self.array.config.personality.name:
            show(f"personality {self.array.config.personality.name}: {self.array.config.personality.title}")
        if self.control is not None:
            show(f"odx-target manage {self.control} --help lists commands that show and change the array while it runs")
        for portal in self.array.portals:
            show(f"listening on {portal}")


@contextmanager
def ready_file(path: Path | None, announcement: Announcement) -> Iterator[None]:
    """Write the line of JSON to a file, which exists while the body runs. Do nothing if the path is None. Raises OSError.

    The file appears with its whole content, so a program may wait for its existence. Only the user of the array can read it,
    because it may contain the token of the HTTP control port.
    """
    if path is None:
        yield
        return
    write_private(path, f"{announcement.line()}\n".encode())
    try:
        yield
    finally:
        with suppress(OSError):
            if path.is_file():  # and not a pipe or a device
                path.unlink()


def _print_how_to_log_in(target: Target, portal: Portal) -> None:
    show(f"target {target.name} at {portal}; connect with")
    if target.authentication is not None:
        show(f"  iscsi-ls -s iscsi://USER%SECRET@{portal}")
        show("  iscsiadm, with the CHAP user and secret in node.session.auth.* and discovery.sendtargets.auth.*")
        return
    show(f"  iscsi-ls -s iscsi://{portal}")
    show(f"  iscsiadm -m discovery -t sendtargets -p {portal} && iscsiadm -m node -T {target.name} -p {portal} --login")
