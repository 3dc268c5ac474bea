"""The addresses that initiators get for portals: announced and reachable addresses, and redirections of logins."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace

from odx_target.iscsi.session.directory_interface import Redirection
from odx_target.target.access.target_ports import FIRST_TAG, tags_of
from odx_target.target.config.address_settings import ANY_ADDRESS, ANY_IPV4, applies_to
from odx_target.target.config.settings import Config, Portal, RedirectRule


class Addresses:
    """The addresses that one array announces, and the tags of its portal groups."""

    def __init__(self) -> None:
        self._actual: Mapping[Portal, Portal] = {}
        self._tags: Mapping[Portal, int] = {}
        self._announced: Mapping[Portal, Portal] = {}
        self._redirects: Sequence[RedirectRule] = ()

    def set(self, config: Config, actual: Mapping[Portal, Portal]) -> None:
        """Announce the addresses of a configuration, and redirect later logins by its rules.

        `actual` has the actual address of each configured portal.
        """
        self._actual = actual
        self._tags = {actual.get(portal, portal): tag for portal, tag in tags_of(config).items()}
        self._announced = {self._actual.get(portal, portal): address for portal, address in config.announced}
        self._redirects = config.redirects

    def tag_of(self, portal: Portal | None) -> int:
        """Return the portal group tag of a portal, which is given by its actual address."""
        return FIRST_TAG if portal is None else self._tags.get(portal, FIRST_TAG)

    def reachable(self, portal: Portal, arrived_at: Portal | None) -> Portal | None:
        """Return the portal with an address to which an initiator can connect. Return None if no such address is known.

        `arrived_at` is the local address of the initiator's connection.
        """
        announced = self._announced.get(portal)
        if announced is not None:
            return announced
        if portal.host not in ANY_ADDRESS:
            return replace(portal, host=plain_host(portal.host))
        if arrived_at is None:
            return portal
        # A portal at "::" also accepts IPv4 connections; a portal at "0.0.0.0" accepts only IPv4.
        if portal.host == ANY_IPV4 and ":" in arrived_at.host:
            return None
        return replace(portal, host=arrived_at.host)

    def redirection(
        self, initiator_name: str, target_name: str, accepted_at: Portal | None, arrived_at: Portal | None
    ) -> Redirection | None:
        """Return the redirection of a login that arrived at a portal. Return None if the login may continue.

        `arrived_at` is the local address of the initiator's connection. A login that has arrived where a rule leads to
        continues.
        """
        for rule in self._redirects:
            is_here = rule.portal is None or self._actual.get(rule.portal, rule.portal) == accepted_at
            if is_here and applies_to(rule, initiator_name, target_name):
                own = self._actual.get(rule.to)
                to = rule.to if own is None else self.reachable(own, arrived_at)
                if to is not None and to != arrived_at:
                    return Redirection(str(to), rule.permanent)
        return None


def plain_host(host: str) -> str:
    """Return an address that other machines can use.

    The returned address has no IPv6 zone, and is not an IPv4 address mapped to IPv6.
    """
    host = host.partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # it is a name, not an address
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
