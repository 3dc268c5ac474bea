"""The listening sockets of an array: one for each portal of its settings."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import trio

from odx_target.iscsi.host_names import look_up_error
from odx_target.target.config.settings import Portal

LISTEN_BACKLOG = 64


class Listening(NamedTuple):
    """A portal of the settings, the socket that listens there, and its actual address. The port of `portal` may be 0."""

    portal: Portal
    socket: socket.socket
    address: Portal


async def bind_portals(portals: Sequence[Portal], former: Sequence[Portal] = ()) -> list[Listening]:
    """Return listening sockets for all portals. The caller must close the sockets.

    `former` has the actual addresses of the first portals when they were last bound. A portal with port 0 gets its former port.
    Raises OSError if a portal cannot be bound. The message names the portal.
    """
    bound: list[Listening] = []
    try:
        for portal, address in zip_longest(portals, former[: len(portals)]):
            listening = await _bind(portal if portal.port or address is None else replace(portal, port=address.port))
            bound.append(Listening(portal, listening, Portal(*listening.getsockname()[:2])))
    except BaseException:
        close_sockets(bound)
        raise
    return bound


def close_sockets(bound: Sequence[Listening]) -> None:
    for listening in bound:
        listening.socket.close()


def missing_portals(wanted: Sequence[Portal], bound: Sequence[Listening]) -> list[Portal]:
    """Return the wanted portals at which no socket listens yet. A portal that is wanted twice needs two sockets."""
    unused = [listening.portal for listening in bound]
    missing = []
    for portal in wanted:
        if portal in unused:
            unused.remove(portal)
        else:
            missing.append(portal)
    return missing


def in_order(wanted: Sequence[Portal], bound: Sequence[Listening]) -> list[Listening]:
    """Return the listening sockets of the wanted portals, in this order. Each of them must be bound."""
    unused = list(bound)
    found = []
    for portal in wanted:
        listening = next(each for each in unused if each.portal == portal)
        unused.remove(listening)
        found.append(listening)
    return found


async def _bind(portal: Portal) -> socket.socket:
    try:
        found = await _addresses_of(portal)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(LISTEN_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen there: {error.strerror or error}", str(portal)) from error
    return listening


async def _addresses_of(portal: Portal) -> list[Any]:
    """Return the addresses of a portal, best first. Raises OSError if the name of the portal cannot be resolved."""
    try:
        return list(await trio.socket.getaddrinfo(portal.host, portal.port, type=socket.SOCK_STREAM))
    except UnicodeError as error:
        raise look_up_error(portal.host, error) from error
