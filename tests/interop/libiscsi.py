"""libiscsi through ctypes: an independent initiator that can send any CDB.

This module supports only login, one command at a time, and resets. It uses nothing of odx_target, so that the tests detect a
field that both our initiator and our target misread. The structures follow libiscsi 1.18 to 1.20 (`scsi-lowlevel.h` and
`iscsi.h`). Calls of libiscsi release the interpreter lock, so sessions in several threads run in parallel.
"""

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self

LIBRARY = "libiscsi.so.7"
MAXIMUM_CDB_BYTES = 16
SESSION_DISCOVERY = 1
SESSION_NORMAL = 2
COMMAND_TIMEOUT_S = 30
CHECK_CONDITION = 0x02
COMMAND_STATES_OF_LIBRARY = 0x0F000000
"""Lowest of libiscsi's own status codes, such as cancelled, error and timeout."""
TIMEOUT = 0x0F000002


class LibiscsiError(Exception):
    """An error that libiscsi reported."""


class CommandTimedOut(LibiscsiError):
    """A command got no answer in time."""


class HeaderDigest(IntEnum):
    """Header digests to offer at login, with libiscsi's numbers."""

    NONE = 0
    NONE_OR_CRC32C = 1
    CRC32C_OR_NONE = 2
    CRC32C = 3


class Residual(IntEnum):
    NONE = 0
    UNDERFLOW = 1
    OVERFLOW = 2


class _Data(ctypes.Structure):
    _fields_ = (("size", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte)))


class _DataOut(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("data", ctypes.c_char_p))


class _Sense(ctypes.Structure):
    _fields_ = (
        ("error_type", ctypes.c_ubyte),
        ("key", ctypes.c_int),
        ("ascq", ctypes.c_int),
        ("flags", ctypes.c_ubyte),
        ("bit_pointer", ctypes.c_ubyte),
        ("field_pointer", ctypes.c_uint16),
    )


class _Task(ctypes.Structure):
    """The first fields of the C structure `struct scsi_task`."""

    _fields_ = (
        ("status", ctypes.c_int),
        ("cdb_size", ctypes.c_int),
        ("transfer_direction", ctypes.c_int),
        ("expected_transfer_bytes", ctypes.c_int),
        ("cdb", ctypes.c_ubyte * MAXIMUM_CDB_BYTES),
        ("residual_kind", ctypes.c_int),
        ("residual_bytes", ctypes.c_size_t),
        ("sense", _Sense),
        ("data_in", _Data),
    )


_TaskPointer = ctypes.POINTER(_Task)


class _Address(ctypes.Structure):
    """A discovered target: the C structure `struct iscsi_discovery_address`."""


_AddressPointer = ctypes.POINTER(_Address)
_Address._fields_ = (("next", _AddressPointer), ("target_name", ctypes.c_char_p), ("portals", ctypes.c_void_p))

_SIGNATURES: dict[str, tuple[object, ...]] = {
    # name: (result, argument, ...)
    "iscsi_create_context": (ctypes.c_void_p, ctypes.c_char_p),
    "iscsi_destroy_context": (ctypes.c_int, ctypes.c_void_p),
    "iscsi_get_error": (ctypes.c_char_p, ctypes.c_void_p),
    "iscsi_set_targetname": (ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p),
    "iscsi_set_session_type": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    "iscsi_set_header_digest": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    "iscsi_set_immediate_data": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    "iscsi_set_initial_r2t": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    "iscsi_set_timeout": (ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
    "iscsi_set_noautoreconnect": (None, ctypes.c_void_p, ctypes.c_int),
    "iscsi_connect_sync": (ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p),
    "iscsi_login_sync": (ctypes.c_int, ctypes.c_void_p),
    "iscsi_discovery_sync": (_AddressPointer, ctypes.c_void_p),
    "iscsi_free_discovery_data": (None, ctypes.c_void_p, _AddressPointer),
    "iscsi_logout_sync": (ctypes.c_int, ctypes.c_void_p),
    "iscsi_disconnect": (ctypes.c_int, ctypes.c_void_p),
    "iscsi_scsi_command_sync": (_TaskPointer, ctypes.c_void_p, ctypes.c_int, _TaskPointer, ctypes.POINTER(_DataOut)),
    "iscsi_task_mgmt_lun_reset_sync": (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32),
    "iscsi_task_mgmt_abort_task_set_sync": (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32),
    "iscsi_task_mgmt_target_warm_reset_sync": (ctypes.c_int, ctypes.c_void_p),
    "scsi_create_task": (_TaskPointer, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "scsi_free_scsi_task": (None, _TaskPointer),
}


@dataclass(frozen=True, slots=True)
class Sense:
    """Received sense data, with access to the fields of the fixed format (SPC-4 4.5.3)."""

    data: bytes

    @property
    def key(self) -> int:
        return self.data[2] & 0x0F

    @property
    def code(self) -> tuple[int, int]:
        """Additional sense code and qualifier."""
        return self.data[12], self.data[13]

    @property
    def information(self) -> int | None:
        """INFORMATION field; None if VALID is 0."""
        return int.from_bytes(self.data[3:7], "big") if self.data[0] & 0x80 else None

    @property
    def field_pointer(self) -> tuple[bool, int] | None:
        """(in the CDB, byte), or None if sense-key specific data is not valid."""
        return (bool(self.data[15] & 0x40), int.from_bytes(self.data[16:18], "big")) if self.data[15] & 0x80 else None

    @property
    def words(self) -> str:
        """Sense key, ASC and ASCQ as text in the form key/ASC/ASCQ."""
        return f"{self.key:X}/{self.data[12]:02X}/{self.data[13]:02X}"


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    data_in: bytes
    sense: Sense | None
    residual_kind: Residual
    residual_bytes: int

    @property
    def outcome(self) -> str:
        """Result as text: `good`, the sense data as key/ASC/ASCQ, or the status in hexadecimal."""
        if self.sense is not None:
            return self.sense.words
        return "good" if self.status == 0 else f"status {self.status:02X}h"


def load() -> ctypes.CDLL:
    """Load the library and declare its signatures. Raises OSError if it is not installed."""
    library = ctypes.CDLL(LIBRARY)
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def discover(portal: str, *, name: str = "iqn.2026-11.example:libiscsi", timeout_s: int = COMMAND_TIMEOUT_S) -> list[bytes]:
    """Return the names of the targets at a portal, from a discovery session. Raises LibiscsiError."""
    library = load()
    context = library.iscsi_create_context(name.encode())
    try:
        library.iscsi_set_session_type(context, SESSION_DISCOVERY)
        library.iscsi_set_timeout(context, timeout_s)
        library.iscsi_set_noautoreconnect(context, 1)
        if library.iscsi_connect_sync(context, portal.encode()) or library.iscsi_login_sync(context):
            raise LibiscsiError(library.iscsi_get_error(context).decode(errors="replace"))
        first = library.iscsi_discovery_sync(context)
        if not first:
            raise LibiscsiError(library.iscsi_get_error(context).decode(errors="replace"))
        found, each = [], first
        while each:
            found.append(bytes(each.contents.target_name or b""))
            each = each.contents.next
        library.iscsi_free_discovery_data(context, first)
        return found
    finally:
        library.iscsi_destroy_context(context)


class Initiator:
    """One normal session, logged in.

    The session never reconnects: a lost connection raises an error. The caller must handle unit attentions; `ready` clears the
    unit attentions of a new session.
    """

    def __init__(
        self,
        portal: str,
        target: str,
        *,
        name: str = "iqn.2026-11.example:libiscsi",
        header_digest: HeaderDigest = HeaderDigest.NONE,
        immediate_data: bool = True,
        initial_r2t: bool = False,
        timeout_s: int = COMMAND_TIMEOUT_S,
    ) -> None:
        self._library = load()
        self._has_lost_command = False
        self._context: int | None = self._library.iscsi_create_context(name.encode())
        assert self._context is not None
        for function, value in (
            ("iscsi_set_targetname", target.encode()),
            ("iscsi_set_session_type", SESSION_NORMAL),
            ("iscsi_set_header_digest", int(header_digest)),
            ("iscsi_set_immediate_data", int(immediate_data)),
            ("iscsi_set_initial_r2t", int(initial_r2t)),
            ("iscsi_set_timeout", timeout_s),
            ("iscsi_set_noautoreconnect", 1),
        ):
            getattr(self._library, function)(self._context, value)
        try:
            self._must(self._library.iscsi_connect_sync(self._context, portal.encode()))
            self._must(self._library.iscsi_login_sync(self._context))
        except LibiscsiError:
            self.abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _must(self, result: int) -> None:
        if result != 0:
            raise LibiscsiError(self.error)

    @property
    def error(self) -> str:
        return str(self._library.iscsi_get_error(self._context).decode(errors="replace"))

    def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> Result:
        """Send one command and wait for its status.

        `data_in_bytes` is the expected data transfer length of a read. Raises LibiscsiError if the connection was lost or no
        response came in time.
        """
        assert self._context is not None, "the session is closed"
        assert len(cdb) <= MAXIMUM_CDB_BYTES
        assert not (data_out and data_in_bytes), "one direction at a time"
        direction = 2 if data_out else 1 if data_in_bytes else 0
        padded = cdb.ljust(MAXIMUM_CDB_BYTES, b"\0")
        task = self._library.scsi_create_task(len(cdb), padded, direction, len(data_out) or data_in_bytes)
        try:
            out = ctypes.byref(_DataOut(len(data_out), data_out)) if data_out else None
            done = self._library.iscsi_scsi_command_sync(self._context, lun, task, out)
            if task.contents.status == TIMEOUT:
                raise CommandTimedOut(self.error)
            if not done:
                self._has_lost_command = True
            if not done or task.contents.status >= COMMAND_STATES_OF_LIBRARY:
                raise LibiscsiError(self.error)
            return _result(task.contents)
        finally:
            self._library.scsi_free_scsi_task(task)

    def ready(self, lun: int) -> None:
        """Send TEST UNIT READY until it reports no more unit attentions of the new session."""
        for _ in range(8):
            if self.execute(lun, bytes(6)).status == 0:
                return
        raise LibiscsiError("the unit does not become ready")

    def lun_reset(self, lun: int) -> None:
        self._must(self._library.iscsi_task_mgmt_lun_reset_sync(self._context, lun))

    def abort_task_set(self, lun: int) -> None:
        self._must(self._library.iscsi_task_mgmt_abort_task_set_sync(self._context, lun))

    def target_warm_reset(self) -> None:
        self._must(self._library.iscsi_task_mgmt_target_warm_reset_sync(self._context))

    def close(self) -> None:
        """Log out and disconnect. A second call does nothing."""
        if self._context is not None:
            try:
                self._must(self._library.iscsi_logout_sync(self._context))
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Close the connection without a logout."""
        context, self._context = self._context, None
        if context is None:
            return
        if self._has_lost_command:
            # The library still has the command, and would write to the stack of the call that waited for it. So it is leaked.
            self._library.iscsi_disconnect(context)
        else:
            self._library.iscsi_destroy_context(context)


def _result(task: _Task) -> Result:
    data = ctypes.string_at(task.data_in.data, task.data_in.size) if task.data_in.size else b""
    residual = Residual(task.residual_kind), task.residual_bytes
    if task.status != CHECK_CONDITION:
        return Result(task.status, data, None, *residual)
    # libiscsi keeps the data segment of the SCSI Response here: SenseLength, then the sense data (RFC 7143 11.4.7).
    sense_bytes = int.from_bytes(data[:2], "big")
    return Result(task.status, b"", Sense(data[2 : 2 + sense_bytes]), *residual)
