"""Reservations that persist through a loss of power, and the format in which the pool stores reservations (SPC-4 5.13.5.1).

If APTPL is set for a logical unit, the pool stores one value for the logical unit (`Pool.remember`). The value consists of
these parts:

* Header: version, type of the reservation (0: none), number of registrations, index of the holder's registration (FFFFh: none).
* Each registration: key, relative target port, length of the initiator port's name, name of the initiator port.
* Checksum: CRC-32 of all bytes before the checksum.

PRGENERATION is not stored, because it starts at zero after every power-on.
"""

import struct
import zlib
from collections.abc import Iterator
from types import MappingProxyType

from odx_target.scsi.limits import MAX_REGISTRATIONS
from odx_target.scsi.reservations.conflicts import ReservationType
from odx_target.scsi.reservations.holders import NO_RESERVATIONS, NexusName, Reservation, Reservations
from odx_target.store.api import Pool, PoolDamaged

KEY_PREFIX = "scsi/reservations/"
FORMAT_VERSION = 1

_HEADER = struct.Struct(">BBHH")
_REGISTRATION = struct.Struct(">QHH")
_CHECKSUM = struct.Struct(">I")
_NO_TYPE = 0
_NO_HOLDER = 0xFFFF


def keep(pool: Pool, volume_identity: bytes, before: Reservations, after: Reservations) -> bool:
    """Store the reservations of a logical unit in the pool if APTPL is set. Otherwise remove the stored value.

    Returns True if the caller must flush the pool before the reply. Even if the pool is full, a change succeeds if the value
    does not become longer, because a cluster must be able to fence nodes. Raises PoolFull, PoolFailed. If this function raises
    an exception, it has changed nothing.
    """
    if after.persists_through_power_loss:
        key, value = _key(volume_identity), encode(after)
        pool.remember(key, value, spare=len(value) <= len(pool.remembered(key) or b""))
    elif before.persists_through_power_loss:
        pool.forget(_key(volume_identity))
    return after.persists_through_power_loss or before.persists_through_power_loss


def recall(pool: Pool, volume_identity: bytes) -> Reservations:
    """Return the reservations that the pool stores for the logical unit of a volume.

    Raises PoolDamaged if the stored value is invalid. An invalid value must not be ignored, because without reservations all
    nexuses could write and destroy the data of a cluster.
    """
    return _recall(pool, _key(volume_identity))


def remembered_reservations(pool: Pool) -> Iterator[Reservations]:
    """Yield all reservations that the pool stores, also those of volumes that are no logical units. Raises PoolDamaged."""
    for key in pool.remembered_keys(KEY_PREFIX):
        yield _recall(pool, key)


def drop(pool: Pool, volume_identity: bytes) -> None:
    """Remove the reservations that the pool stores for a volume that was deleted."""
    pool.forget(_key(volume_identity))


def encode(reservations: Reservations) -> bytes:
    """Encode reservations as a value for the pool."""
    names = list(reservations.registrations)
    reservation = reservations.reservation
    holder = None if reservation is None else reservation.holder
    body = _HEADER.pack(
        FORMAT_VERSION,
        _NO_TYPE if reservation is None else reservation.type,
        len(names),
        _NO_HOLDER if holder is None else names.index(holder),
    )
    for name, key in reservations.registrations.items():
        port_name = name.initiator_port_name.encode("utf-8")
        body += _REGISTRATION.pack(key, name.relative_target_port, len(port_name)) + port_name
    return body + _CHECKSUM.pack(zlib.crc32(body))


def decode(value: bytes) -> Reservations:
    """Decode a value that `encode` has made. Raises ValueError or struct.error for any other value."""
    body = value[: -_CHECKSUM.size]
    if _CHECKSUM.pack(zlib.crc32(body)) != value[-_CHECKSUM.size :]:
        raise ValueError("their checksum is wrong")
    version, type_code, count, holder = _HEADER.unpack_from(body)
    if version != FORMAT_VERSION:
        raise ValueError(f"they are of format {version}, and format {FORMAT_VERSION} is known here")
    registrations = _registrations(body[_HEADER.size :])
    if len(registrations) != count or count > MAX_REGISTRATIONS:
        raise ValueError(f"they announce {count} registrations and contain {len(registrations)}")
    reservation = None if type_code == _NO_TYPE else _reservation(ReservationType(type_code), list(registrations), holder)
    return Reservations(MappingProxyType(registrations), reservation, persists_through_power_loss=True)


def _recall(pool: Pool, key: str) -> Reservations:
    value = pool.remembered(key)
    if value is None:
        return NO_RESERVATIONS
    try:
        return decode(value)
    except (ValueError, struct.error) as error:
        volume = key.removeprefix(KEY_PREFIX)
        raise PoolDamaged(f"the persistent reservations of volume {volume} cannot be read: {error}") from error


def _registrations(body: bytes) -> dict[NexusName, int]:
    registrations: dict[NexusName, int] = {}
    while body:
        key, relative_target_port, name_bytes = _REGISTRATION.unpack_from(body)
        name, body = body[_REGISTRATION.size :][:name_bytes], body[_REGISTRATION.size + name_bytes :]
        if not key or len(name) != name_bytes:
            raise ValueError("a registration is cut short or has no key")
        registrations[NexusName(name.decode("utf-8"), relative_target_port)] = key
    return registrations


def _reservation(kind: ReservationType, names: list[NexusName], holder: int) -> Reservation:
    if kind.is_all_registrants:
        if not names:
            raise ValueError("the reservation has no holder")
        return Reservation(kind, None)
    if holder >= len(names):
        raise ValueError("the reservation's holder is not registered")
    return Reservation(kind, names[holder])


def _key(volume_identity: bytes) -> str:
    return f"{KEY_PREFIX}{volume_identity.hex()}"
