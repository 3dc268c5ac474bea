"""Another host, which must be served while attackers do what they want."""

from collections.abc import Awaitable, Callable
from types import TracebackType

from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import LoginResponse, NopOut, ScsiCommand
from odx_target.iscsi.pdu.opcodes import NO_TAG
from tests.fuzz.array.connection import AttackingConnection
from tests.fuzz.array.served import CONFIG, WITNESS, ServedArray
from tests.fuzz.surface import Finding

MAX_ATTENTIONS = 8
"""Number of unit attentions that attackers may cause between two commands of the witness."""
BLOCK_BYTES = 512
_SLOT = 0xEE


async def _log_in_without_proof(connection: AttackingConnection) -> None:
    await connection.log_in([("InitiatorName", WITNESS), ("TargetName", CONFIG.iqn)], None, {})


class Witness:
    """A session of another initiator with a LUN of its own. The number of its checks is the data that it writes.

    `log_in` sends the requests of its login.
    """

    def __init__(
        self, served: ServedArray, log_in: Callable[[AttackingConnection], Awaitable[None]] = _log_in_without_proof
    ) -> None:
        self._served = served
        self._log_in_by = log_in
        self._connection: AttackingConnection
        self._count = 0

    async def __aenter__(self) -> "Witness":
        await self._log_in()
        self._served.on_time.append(self._answer_pings)
        await self.check()
        return self

    async def _log_in(self) -> None:
        self._connection = AttackingConnection(self._served, _SLOT, set())
        await self._log_in_by(self._connection)
        login = self._connection.last_login
        if not isinstance(login, LoginResponse) or login.status:
            raise Finding("a host cannot log in", str(login))

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._connection.end("close")

    async def check(self) -> None:
        """Write a block, and read it. Raises Finding if this is not possible.

        After TARGET COLD RESET, which ends all sessions, the host first logs in again.
        """
        self._connection.receive()
        if self._served.has_cold_reset and not self._connection.is_open:
            self._connection.end("close")
            await self._log_in()
        self._count += 1
        data = self._count.to_bytes(8, "big") * (BLOCK_BYTES // 8)
        await self._command(cdb.write_16(self._count % 64, 1), data)
        if await self._command(cdb.read_16(self._count % 64, 1)) != data:
            raise Finding("another host reads other data than it wrote")

    async def _answer_pings(self) -> None:
        self._connection.receive()
        pings, self._connection.pings = self._connection.pings, []
        for ping in pings:
            await self._connection.send(NopOut(), immediate=1, initiator_task_tag=NO_TAG, target_transfer_tag=ping)

    async def _command(self, command: bytes, data: bytes = b"") -> bytes:
        for _ in range(MAX_ATTENTIONS):
            connection = self._connection
            seen = connection.checker.outcomes = set()
            connection.last_data = b""
            pdu = ScsiCommand(
                read=not data, write=bool(data), attribute=1, expected_data_transfer_length=BLOCK_BYTES, cdb=command
            )
            await connection.send(pdu, data)
            if not connection.is_open:
                raise Finding("the session of another host has ended")
            results = [each for each in seen if each.startswith(f"{command[0]:02X} ")]
            if results == [f"{command[0]:02X} GOOD"]:
                return connection.last_data
            if not results or not all(" 6h/" in each for each in results):
                raise Finding("another host is not served", f"{sorted(seen)}")
        raise Finding("another host gets unit attentions without an end")
