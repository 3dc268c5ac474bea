"""The start of a session of the load generator, over a blocking socket: login, unit attentions and the capacity of the LUN."""

import socket
from collections.abc import Iterator

from crc32c import crc32c

from odx_target.initiator.session.login import Login
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.url import IscsiUrl
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.framing import FrameReader
from odx_target.iscsi.pdu.headers import LoginResponse, Pdu, ScsiCommand, ScsiDataIn, ScsiResponse, decode_header, encode_lun

READ_CAPACITY_16 = bytes([0x9E, 0x10]) + bytes(11) + bytes([32]) + bytes(2)
TEST_UNIT_READY = bytes(16)
CAPACITY_BYTES = 32
TIMEOUT_S = 30.0
MAX_UNIT_ATTENTIONS = 8
"""Maximum number of unit attentions that a target reports before it executes commands."""
MAX_DATA_SEGMENT_BYTES = 256 << 10
RECEIVE_BYTES = 1 << 16


class LoadFailed(Exception):
    """A target did not do what the load expects of it. The message names the reply."""


class LoggedIn:
    """A session after its login. `cmd_sn` and `exp_stat_sn` are the numbers of the next command."""

    def __init__(self, url: IscsiUrl, number: int, *, digests: bool) -> None:
        self.socket = socket.create_connection((url.portal.host, url.portal.port), TIMEOUT_S)
        self.lun = encode_lun(url.lun)
        self.cmd_sn = self.exp_stat_sn = self.max_cmd_sn = 0
        self._frames = FrameReader(MAX_DATA_SEGMENT_BYTES)
        self._received = bytearray()
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.parameters = self._log_in(url.target_name, number, digests=digests)
            self._end_unit_attentions()
            self.capacity_blocks = self._capacity()
        except BaseException:
            self.socket.close()
            raise

    @property
    def immediate_bytes(self) -> int:
        """Largest number of bytes that a write may send with its command."""
        agreed = self.parameters
        limit = min(agreed.max_send_data_segment_length, agreed.first_burst_length)
        return limit if agreed.immediate_data else 0

    def _log_in(self, target_name: str, number: int, *, digests: bool) -> Parameters:
        options = SessionOptions(random_isid(number.to_bytes(5)), header_digest=digests, data_digest=digests)
        login = Login(options, target_name)
        request = login.first()
        while True:
            header, data = request
            header.exp_stat_sn = self.exp_stat_sn
            self.socket.sendall(header.encode_header() + data + bytes(-len(data) % 4))
            response, text = next(self._pdus())
            if not isinstance(response, LoginResponse):
                raise LoadFailed(f"the target answered a login with {response}")
            self.exp_stat_sn = response.stat_sn + 1 & 0xFFFFFFFF
            following = login.take(response, text)
            if following is None:
                self.cmd_sn, self.max_cmd_sn = response.exp_cmd_sn, response.max_cmd_sn
                return self._checked(login.parameters, digests=digests)
            request = following

    def _checked(self, agreed: Parameters, *, digests: bool) -> Parameters:
        """Return the agreed parameters, and use their digests from now on. Raises LoadFailed if the target refused digests."""
        chosen = agreed.header_digest, agreed.data_digest
        if digests and chosen != ("CRC32C", "CRC32C"):
            raise LoadFailed(f"the target chose the digests {' and '.join(chosen)}")
        self._frames.header_digest = self._frames.data_digest = digests
        return agreed

    def _end_unit_attentions(self) -> None:
        for _ in range(MAX_UNIT_ATTENTIONS):
            if self._execute(TEST_UNIT_READY, 0)[0] == 0:
                return
        raise LoadFailed("the logical unit does not become ready")

    def _capacity(self) -> int:
        status, data = self._execute(READ_CAPACITY_16, CAPACITY_BYTES)
        if status != 0:
            raise LoadFailed(f"READ CAPACITY(16) ended with status {status:#04x}")
        return int.from_bytes(data[:8]) + 1

    def _execute(self, cdb: bytes, read_bytes: int) -> tuple[int, bytes]:
        """Execute a command without a load beside it. Returns the status and the data."""
        command = ScsiCommand(
            read=read_bytes > 0,
            attribute=1,
            lun=self.lun,
            expected_data_transfer_length=read_bytes,
            cmd_sn=self.cmd_sn,
            exp_stat_sn=self.exp_stat_sn,
            cdb=cdb,
        ).encode_header()
        self.cmd_sn = self.cmd_sn + 1 & 0xFFFFFFFF
        self.socket.sendall(command + self.header_digest(command))
        found = b""
        for pdu, data in self._pdus():
            if not isinstance(pdu, ScsiDataIn | ScsiResponse):
                raise LoadFailed(f"the target answered a command with {pdu}")
            self.max_cmd_sn = pdu.max_cmd_sn
            if isinstance(pdu, ScsiDataIn):
                found += data
            if isinstance(pdu, ScsiResponse) or pdu.has_status:
                self.exp_stat_sn = pdu.stat_sn + 1 & 0xFFFFFFFF
                return pdu.status, found
        raise AssertionError("the PDUs of a session have no end")

    def header_digest(self, header: bytes) -> bytes:
        """Return the digest of a header; nothing if the session has no digests."""
        return crc32c(header).to_bytes(4, "little") if self._frames.header_digest else b""

    def _pdus(self) -> Iterator[tuple[Pdu, bytes]]:
        """Yield the PDUs that the target sends, with their data."""
        while True:
            view = memoryview(bytes(self._received))
            frame = self._frames.cut(view)
            if frame is None:
                piece = self.socket.recv(RECEIVE_BYTES)
                if not piece:
                    raise LoadFailed("the target closed the connection")
                self._received += piece
                continue
            end, _, data, is_intact = frame
            if not is_intact:
                raise LoadFailed("a data digest of the target is wrong")
            del self._received[:end]
            yield decode_header(view), bytes(data)
