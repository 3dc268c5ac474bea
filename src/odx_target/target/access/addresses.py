"""The addresses that initiators get: announced addresses of portals, and redirections of logins."""

from collections.abc import Mapping, Sequence

from odx_target.iscsi.session.directory_interface import Redirection
from odx_target.target.config.address_settings import applies_to
from odx_target.target.config.settings import Config, Portal, RedirectRule


class Addresses:
    """The addresses that one array announces. `actual` has the actual address of each configured portal."""

    def __init__(self, actual: Mapping[Portal, Portal]) -> None:
        self._actual = actual
        self._announced: Mapping[Portal, Portal] = {}
        self._redirects: Sequence[RedirectRule] = ()

    def set(self, config: Config) -> None:
        """Announce the addresses of a configuration, and redirect later logins by its rules."""
        self._announced = {self._actual.get(portal, portal): address for portal, address in config.announced}
        self._redirects = config.redirects

    def announced(self, portal: Portal) -> Portal | None:
        """Return the address that initiators get instead of that of a portal. Return None if they get its own address."""
        return self._announced.get(portal)

    def redirection(self, initiator_name: str, target_name: str, accepted_at: Portal | None) -> Redirection | None:
        """Return the redirection of a login that arrived at a portal. Return None if the login may continue."""
        for rule in self._redirects:
            is_here = rule.portal is None or self._actual.get(rule.portal, rule.portal) == accepted_at
            if is_here and applies_to(rule, initiator_name, target_name):
                to = self._actual.get(rule.to, rule.to)
                return Redirection(str(self._announced.get(to, to)), rule.permanent)
        return None
