"""The check that no rule of redirection sends initiators round in a circle among the portals of an array."""

from collections.abc import Container, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice

from odx_target.target.config.address_settings import applies_to
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal, RedirectRule, TargetConfig

MAX_CHECKED_MATCHES = 65536
"""Maximum number of comparisons of a rule with a pair of a target and an initiator, so that a SIGHUP does not delay hosts.

All pairs of a file with 200 rules need fewer comparisons. Of a longer file, the most general pairs are checked.
"""

_ANYBODY = "iqn.1970-01.invalid:any-other-initiator"
"""A name that stands for the initiators that no rule names."""
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.:-"


def check_redirections(
    targets: Sequence[TargetConfig],
    portals: Sequence[Portal],
    announced: Sequence[tuple[Portal, Portal]],
    redirects: Sequence[RedirectRule],
) -> None:
    """Raise ConfigError if logins to a target go from portal to portal without an end. `portals` are those of targets that have
    no portals of their own.
    """
    own = {portal: portal for target in targets for portal in target.portals or portals}
    own |= {address: portal for portal, address in announced}
    if not any(rule.to in own for rule in redirects):
        return
    count = MAX_CHECKED_MATCHES // len(redirects)
    for target, initiator_name in islice(dict.fromkeys(_pairs(targets, own, redirects)), count):
        circle = _circle(target.portals or portals, own, redirects, target.iqn, initiator_name)
        if circle:
            way = " to ".join(str(portal) for portal in circle)
            raise ConfigError(f"redirect: logins to {target.iqn} would go from {way} for ever; let one portal accept them")


def _circle(
    portals: Sequence[Portal],
    own: Mapping[Portal, Portal],
    redirects: Sequence[RedirectRule],
    target_name: str,
    initiator_name: str,
) -> list[Portal]:
    """Return the portals of a circle, the first one also as the last. Return an empty list if there is none."""
    rules = [rule for rule in redirects if applies_to(rule, initiator_name, target_name)]
    ends: set[Portal] = set()
    for start in portals:
        way: list[Portal] = []
        here = start
        while here not in ends and here in portals:
            if here in way:
                return [*way[way.index(here) :], here]
            way.append(here)
            rule = next((rule for rule in rules if rule.portal in (None, here) and rule.to != here), None)
            if rule is None or rule.to not in own:
                break
            here = own[rule.to]
        ends.update(way)
    return []


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
