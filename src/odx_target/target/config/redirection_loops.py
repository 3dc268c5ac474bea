"""The check that no rule of redirection sends initiators round in a circle among the portals of an array."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from odx_target.target.config.address_settings import ANY_ADDRESS, ANY_IPV4, applies_to
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal, RedirectRule, TargetConfig

MAX_CHECKED_MATCHES = 65536
"""Maximum number of comparisons of a rule with a pair of a target and an initiator, so that a SIGHUP does not delay hosts.

All pairs of a file with 200 rules need fewer comparisons. Of a longer file, the most general pairs are checked.
"""

_ANYBODY = "iqn.1970-01.invalid:any-other-initiator"
"""A name that stands for the initiators that no rule names."""
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.:-"


class _Arrival(NamedTuple):
    """A login at a portal. `address` is the local address of its connection. The host of `address` is that of a portal at all
    addresses of the machine if the login may have arrived at any of them.
    """

    portal: Portal
    address: Portal


def check_redirections(
    targets: Sequence[TargetConfig],
    portals: Sequence[Portal],
    announced: Sequence[tuple[Portal, Portal]],
    redirects: Sequence[RedirectRule],
    is_own_host: Callable[[str], bool],
) -> None:
    """Raise ConfigError if logins to a target go from portal to portal without an end. `portals` are those of targets that have
    no portals of their own. `is_own_host` says if a numeric address belongs to this machine.
    """
    own = _own_addresses(targets, portals, announced, redirects, is_own_host)
    if not any(rule.to in own for rule in redirects):
        return
    count = MAX_CHECKED_MATCHES // len(redirects)
    for target, initiator_name in islice(dict.fromkeys(_pairs(targets, own, redirects)), count):
        circle = _circle(target.portals or portals, own, redirects, target.iqn, initiator_name)
        if circle:
            way = " to ".join(str(address) for address in circle)
            raise ConfigError(f"redirect: logins to {target.iqn} would go from {way} for ever; let one portal accept them")


def _own_addresses(
    targets: Sequence[TargetConfig],
    portals: Sequence[Portal],
    announced: Sequence[tuple[Portal, Portal]],
    redirects: Sequence[RedirectRule],
    is_own_host: Callable[[str], bool],
) -> dict[Portal, _Arrival]:
    """Return the arrival of a login at each address of the array to which a rule may lead."""
    found = list(dict.fromkeys(portal for target in targets for portal in target.portals or portals))
    own = {portal: _Arrival(portal, portal) for portal in found}
    own |= {address: _Arrival(portal, portal) for portal, address in announced}
    wide = [portal for portal in found if portal.host in ANY_ADDRESS]
    for address in dict.fromkeys(rule.to for rule in redirects if wide and rule.to not in own):
        portal = next((portal for portal in wide if _accepts(portal, address)), None)
        if portal is not None and is_own_host(address.host):
            own[address] = _Arrival(portal, address)
    return own


def _accepts(portal: Portal, address: Portal) -> bool:
    """True if a portal at all addresses of a machine accepts connections to one of them. "::" also accepts IPv4."""
    return portal.port == address.port and (portal.host != ANY_IPV4 or ":" not in address.host)


def _circle(
    portals: Sequence[Portal],
    own: Mapping[Portal, _Arrival],
    redirects: Sequence[RedirectRule],
    target_name: str,
    initiator_name: str,
) -> list[Portal]:
    """Return the addresses of a circle, the first one also as the last. Return an empty list if there is none."""
    rules = [rule for rule in redirects if applies_to(rule, initiator_name, target_name)]
    ends: set[_Arrival] = set()
    for start in portals:
        way: list[_Arrival] = []
        here = _Arrival(start, start)
        while here not in ends and here.portal in portals:
            if here in way:
                return [arrival.address for arrival in (*way[way.index(here) :], here)]
            way.append(here)
            following = _next(here, own, rules)
            if following is None:
                break
            here = following
        ends.update(way)
    return []


def _next(here: _Arrival, own: Mapping[Portal, _Arrival], rules: Sequence[RedirectRule]) -> _Arrival | None:
    """Return the next arrival of a login. Return None if the login is accepted, or leaves the array."""
    for rule in rules:
        if rule.portal in (None, here.portal) and rule.to != here.address:
            there = own.get(rule.to)
            if there is not None and rule.to == there.portal and rule.to.host in ANY_ADDRESS:
                return there._replace(address=replace(rule.to, host=here.address.host))
            return there
    return None


def _pairs(
    targets: Sequence[TargetConfig], own: Container[Portal], redirects: Sequence[RedirectRule]
) -> Iterator[tuple[TargetConfig, str]]:
    """Yield pairs of a target and an initiator, so that each kind of login that the rules distinguish has a pair. The most
    general pairs come first.
    """
    inner = [rule for rule in redirects if rule.to in own]
    named = {rule.target for rule in redirects}
    distinct = list({target.portals: target for target in targets if target.iqn not in named}.values())
    distinct += [target for target in targets if target.iqn in named]
    yield from ((target, _ANYBODY) for target in distinct)
    for rule in inner:
        yield from ((target, _name_for(rule)) for target in distinct if rule.target in (None, target.iqn))
    yield from ((target, _name_for(rule)) for target in distinct for rule in inner)


def _name_for(rule: RedirectRule) -> str:
    """Return the name of an initiator to which a rule applies."""
    if rule.initiator is None:
        return _ANYBODY
    if rule.pattern is None:
        return rule.initiator
    name, rest = "", rule.initiator
    while rest:
        character, rest = rest[0], rest[1:]
        if character == "[" and "]" in rest[1:]:
            members, _, rest = rest.partition("]") if rest[0] != "]" else ("]", "", rest[1:].partition("]")[2])
            name += _member_of(members)
        else:
            name += {"*": "", "?": "x"}.get(character, character)
    return name


def _member_of(members: str) -> str:
    """Return a character that matches a set of a pattern, such as `a-f` or `!a`."""
    return next((each for each in _CHARACTERS if fnmatchcase(each, f"[{members}]")), members[0])
