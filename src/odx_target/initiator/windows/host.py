"""The state that all disks of one Windows host share."""

from dataclasses import dataclass, field

from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.windows.copying.hold_off import HoldOff
from odx_target.initiator.windows.journal import Journal
from odx_target.initiator.windows.session.path import Clock
from odx_target.initiator.windows.settings import WindowsSettings


@dataclass(slots=True)
class WindowsHost:
    """One host: its settings, its clock, its counter of list identifiers, and the disks for which no tokens are tried for some
    minutes after a failure (see `hold_off`).
    """

    clock: Clock
    journal: Journal = field(default_factory=Journal)
    settings: WindowsSettings = field(default_factory=WindowsSettings)
    list_identifiers: ListIdentifiers = field(init=False)
    hold_off: HoldOff = field(init=False)

    def __post_init__(self) -> None:
        self.list_identifiers = ListIdentifiers(self.settings.first_list_identifier, self.settings.max_list_identifier)
        self.hold_off = HoldOff(self.settings.hold_off_s, self.settings.hold_off_scope, self.settings.hold_off_statuses)
