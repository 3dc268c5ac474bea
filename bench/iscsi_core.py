"""Microseconds that the protocol core takes for a command, without sockets, SCSI or store.

There are three loads: 4 KiB reads and 4 KiB immediate-data writes in batches of 32, and 256 KiB reads from prepared buffers.
`receive` is the time to find the PDUs and to make the events. `reply` is the time to make the response. Both are the best of
several rounds.
"""

import time
from collections.abc import Sequence

from odx_target.iscsi.pdu.headers import LoginRequest, ScsiCommand
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.directory_interface import Authenticator, Portal, Redirection
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.session_registry import SessionRegistry

TARGET = "iqn.2026-11.io.odx-target:array"
BATCHES = 60
ROUNDS = 15


class Directory:
    portal = "127.0.0.1:3260"

    def __init__(self) -> None:
        self.sessions = SessionRegistry()

    def target_names(self, initiator_name: str) -> Sequence[str]:  # noqa: ARG002
        return [TARGET]

    def portals(self, target_name: str) -> Sequence[Portal]:  # noqa: ARG002
        return []

    def is_offline(self, target_name: str, portal_group_tag: int) -> bool:  # noqa: ARG002
        return False

    def redirection(self, initiator_name: str, target_name: str) -> Redirection | None:  # noqa: ARG002
        return None

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:  # noqa: ARG002
        return None


def logged_in(max_recv: int) -> TargetConnection:
    connection = TargetConnection(Directory(), 0.0)
    keys = [
        ("InitiatorName", "iqn.2026-11.io.odx-target:bench"),
        ("TargetName", TARGET),
        ("InitialR2T", "No"),
        ("ImmediateData", "Yes"),
        ("MaxRecvDataSegmentLength", str(max_recv)),
    ]
    text = encode_pairs(keys)
    request = LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=0, data_segment_length=len(text))
    connection.receive(memoryview(request.encode_header() + text + bytes(-len(text) % 4)), 0.0)
    connection.take_events()
    connection.take_output()
    return connection


def batches(per_batch: int, size: int, *, write: bool) -> list[memoryview]:
    data = bytes(size) if write else b""
    made = []
    for batch in range(BATCHES):
        raw = b""
        for i in range(per_batch):
            command = ScsiCommand(
                read=not write,
                write=write,
                attribute=1,
                data_segment_length=len(data),
                initiator_task_tag=i,
                expected_data_transfer_length=size,
                cmd_sn=batch * per_batch + i,
                cdb=b"\x28" + bytes(15),
            )
            raw += command.encode_header() + data
        made.append(memoryview(bytearray(raw)))
    return made


def measure(per_batch: int, size: int, *, write: bool, max_recv: int = 262144) -> tuple[float, float]:
    """Measure microseconds per command; returns (receive, reply)."""
    views = batches(per_batch, size, write=write)
    block = bytes(size)
    best_receive = best_reply = float("inf")
    for _ in range(ROUNDS):
        connection = logged_in(max_recv)
        receive = reply = 0.0
        for view in views:
            started = time.perf_counter()
            connection.receive(view, 1.0)
            events = connection.take_events()
            received = time.perf_counter()
            for event in events:
                assert type(event) is CommandReady
                connection.send_reply(event, 0, () if write else (block,), size, b"")
            connection.take_output()
            reply += time.perf_counter() - received
            receive += received - started
        count = BATCHES * per_batch
        best_receive = min(best_receive, receive / count * 1e6)
        best_reply = min(best_reply, reply / count * 1e6)
    return best_receive, best_reply


def main() -> None:
    print(f"{'load':44} {'receive us':>10} {'reply us':>10}")
    for name, arguments in {
        "4 KiB reads, batch 32": {"per_batch": 32, "size": 4096, "write": False},
        "4 KiB immediate-data writes, batch 32": {"per_batch": 32, "size": 4096, "write": True},
        "256 KiB reads, batch 1, one Data-In": {"per_batch": 1, "size": 262144, "write": False},
        "256 KiB reads, batch 1, 64 KiB Data-Ins": {"per_batch": 1, "size": 262144, "write": False, "max_recv": 65536},
    }.items():
        receive, reply = measure(**arguments)  # type: ignore[arg-type]
        print(f"{name:44} {receive:10.2f} {reply:10.2f}")


if __name__ == "__main__":
    main()
