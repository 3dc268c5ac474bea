"""The addresses that an array announces to initiators, and the redirections of logins, from the values of a file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from odx_target.iscsi.names import prepare_name
from odx_target.target.config.access_settings import initiator_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_iqn, parse_portal
from odx_target.target.config.settings import Portal, RedirectRule

# Addresses with which a portal listens at all addresses of a machine. No initiator can connect to these addresses.
ANY_IPV4 = "0.0.0.0"  # noqa: S104 - only compared, not bound
ANY_ADDRESS = frozenset({ANY_IPV4, "::"})

MAX_REDIRECTIONS = 1024
"""Maximum number of `[[redirect]]` tables. The limit avoids a long search at each login."""


def applies_to(rule: RedirectRule, initiator_name: str, target_name: str) -> bool:
    """True if a rule is for this initiator and this target."""
    if rule.target not in (None, target_name):
        return False
    name = prepare_name(initiator_name)
    return rule.initiator in (None, name) or (rule.pattern is not None and rule.pattern.match(name) is not None)


def announced_of(value: Any) -> tuple[tuple[Portal, Portal], ...]:
    """Return pairs of a portal and its announced address, for a table of texts. Raises ConfigError."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ConfigError('announce: want a table [announce] with lines such as "0.0.0.0:3260" = "192.0.2.1:3260"')
    return tuple((parse_portal(portal), parse_portal(address)) for portal, address in value.items())


def redirect_rules_of(value: Any) -> tuple[RedirectRule, ...]:
    """Return the rules in the `[[redirect]]` tables of a file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError(f"redirect: want tables [[redirect]] with {', '.join(_KEYS)}")
    if len(value) > MAX_REDIRECTIONS:
        raise ConfigError(f"redirect: {len(value)} tables are over the limit of {MAX_REDIRECTIONS}")
    return tuple(_rule(row) for row in value)


def check_addresses(
    portals: Sequence[Portal], announced: Sequence[tuple[Portal, Portal]], redirects: Sequence[RedirectRule]
) -> None:
    """Raise ConfigError if a setting names a portal that the array does not have, or an address to which no initiator can
    connect, or if it redirects logins at a portal to itself.
    """
    for portal in [portal for portal, _ in announced] + [rule.portal for rule in redirects if rule.portal is not None]:
        if portal not in portals:
            raise ConfigError(f"{portal} is announced or redirected, but it is no portal of the array")
    for address in [address for _, address in announced] + [rule.to for rule in redirects if rule.to not in portals]:
        if address.host in ANY_ADDRESS or not address.port:
            raise ConfigError(f"no initiator can connect to {address}; give the address and port that initiators use")
    for rule in redirects:
        if rule.to in portals and rule.portal in (None, rule.to):
            raise ConfigError(f"redirect: a login at {rule.to} would be redirected to {rule.to} again; name another portal")


def _rule(row: Mapping[str, Any]) -> RedirectRule:
    if unknown := sorted(row.keys() - _KEYS.keys()):
        raise ConfigError(f"redirect: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    if "to" not in row:
        raise ConfigError("redirect: to is missing")
    fields: dict[str, Any] = {key: _KEYS[key](_checked(key, value)) for key, value in row.items()}
    return RedirectRule(**fields)


def _checked(key: str, value: object) -> Any:
    wanted = bool if key == "permanent" else str
    if not isinstance(value, wanted):
        raise ConfigError(f"redirect: {key}: want {'true or false' if wanted is bool else 'a text in quotes'}")
    return value


_KEYS: dict[str, Callable[[Any], object]] = {
    "to": parse_portal,
    "target": parse_iqn,
    "portal": parse_portal,
    "initiator": initiator_of,
    "permanent": bool,
}
"""Functions that check and convert the values of a `[[redirect]]` table, by key."""
