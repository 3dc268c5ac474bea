"""Targets with a fault: our array behind a stream that changes its PDUs. Only the connections of the checks have the fault."""

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import trio

from odx_target.conformance.bench import Bench
from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need
from odx_target.conformance.exchange import Records
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import MAX_SEGMENT_BYTES, RawConnection
from odx_target.conformance.runner import Result, run_checks
from odx_target.conformance.wire import WireEquipment
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.framing import FrameReader, append_pdu
from odx_target.iscsi.pdu.headers import LoginResponse, Pdu, decode_header
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.target.running import running

MIB = 1 << 20
CONFIG = Config(luns=(LunConfig("a", 16 * MIB), LunConfig("b", 16 * MIB)), portals=(Portal("127.0.0.1", 0),))
WIRE = [check for check in CHECKS if check.needs & Need.PORTAL]

Fault: TypeAlias = Callable[[Pdu, bytes], Iterable[tuple[Pdu, bytes]]]
"""Takes a PDU of the target and its data, and returns the PDUs that the check receives instead."""


def entropy() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda size: hashlib.shake_256(str(next(numbers)).encode()).digest(size)


@dataclass
class FaultyStream(trio.abc.Stream):
    """A stream whose received PDUs are changed. `digests` are those that the login has agreed on."""

    stream: trio.abc.Stream
    fault: Fault
    wanted: dict[str, str] = field(default_factory=dict)
    _frames: FrameReader = field(default_factory=lambda: FrameReader(MAX_SEGMENT_BYTES))
    _rest: bytes = b""

    async def send_all(self, data: bytes) -> None:  # type: ignore[override]
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            more = bytes(await self.stream.receive_some(max_bytes))
            if not more:
                return b""
            self._rest += more
            changed = b"".join(self._changed())
            if changed:
                return changed

    def _changed(self) -> Iterable[bytes]:
        while (frame := self._frames.cut(memoryview(self._rest), 0)) is not None:
            end, _, data, _ = frame
            pdu, content = decode_header(self._rest), bytes(data)
            self._rest = self._rest[end:]
            digests = {"header_digest": self._frames.header_digest, "data_digest": self._frames.data_digest}
            for other, other_data in self.fault(pdu, content):
                other.data_segment_length = len(other_data)
                output: list[Any] = []
                append_pdu(output, other.encode_header(), [other_data] if other_data else (), **digests)
                yield b"".join(output)
            self._note(pdu, content)

    def _note(self, pdu: Pdu, content: bytes) -> None:
        if isinstance(pdu, LoginResponse):
            self.wanted.update({key: "CRC32C" for key in ("HeaderDigest", "DataDigest") if f"{key}=CRC32C".encode() in content})
            if pdu.transit and pdu.next_stage == 3:
                self._frames.header_digest = "HeaderDigest" in self.wanted
                self._frames.data_digest = "DataDigest" in self.wanted


class FaultyWire(WireEquipment):
    """Equipment whose raw connections have a fault."""

    fault: Fault

    async def features(self) -> Features:
        return Features({})

    @asynccontextmanager
    async def open(self, records: Records) -> AsyncIterator[Bench]:
        async with super().open(records) as bench:
            bench.open_connection = self.faulty_connection
            yield bench

    @asynccontextmanager
    async def faulty_connection(self, records: Records) -> AsyncIterator[RawConnection]:
        async def connect(portal: Address) -> trio.abc.Stream:
            return FaultyStream(await connect_tcp(portal), self.fault)

        plain = WireEquipment(self.first, self.second, self.options, self.entropy, connect=connect)
        async with plain._connection(records) as connection:
            yield connection


def equipment(array: Array, kind: type[WireEquipment] = WireEquipment) -> WireEquipment:
    address, name = Address("127.0.0.1", array.portals[0].port), array.config.iqn
    options = SessionOptions(bytes(6), command_timeout_s=10.0)
    return kind(IscsiUrl(address, name, 0), IscsiUrl(address, name, 1), options, entropy())


async def checked(check: Check, fault: Fault | None = None) -> Result:
    kind = WireEquipment if fault is None else type("WithFault", (FaultyWire,), {"fault": staticmethod(fault)})
    async with running(CONFIG) as array:
        (result,) = await run_checks([check], equipment(array, kind), given=~Need.NOTHING, report=lambda _: None)
    return result
