"""The configuration of another target, converted to the settings of an array."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from odx_target.target.config.access_settings import AccessRule
from odx_target.target.config.chap import ChapUser
from odx_target.target.config.settings import Config, LunConfig, TargetConfig

MAX_NAME = 64
NOBODY = "[!a-z]*"
"""A pattern that matches no initiator name, because every name begins with a letter."""


@dataclass(slots=True)
class Imported:
    """The settings that were found. `notes` name everything that has no counterpart, one line each.

    `sizeless` has the names of volumes whose size is not known.
    """

    luns: list[LunConfig] = field(default_factory=list)
    targets: list[TargetConfig] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sizeless: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def add_volume(self, origin: str, size_bytes: int | None, block_bytes: int = 512) -> str:
        """Add the volume for a backing store, unless it is already known. Return the name of the volume."""
        if origin in self._names:
            return self._names[origin]
        name = self._unused_name(origin)
        self._names[origin] = name
        if block_bytes not in (512, 4096):
            self.notes.append(f"{name}: blocks of {block_bytes} bytes are not supported, it has blocks of 512 bytes")
            block_bytes = 512
        if size_bytes is None or size_bytes < block_bytes:
            self.sizeless.append(name)
        else:
            rounded = size_bytes // block_bytes * block_bytes
            self.luns.append(LunConfig(name, rounded, block_bytes))
        self.notes.append(f"{name} was {origin}; its data is not copied")
        return name

    def config(self) -> Config:
        """Return the settings of an array. The first target becomes the first target of the array."""
        if not self.targets:
            return Config(luns=tuple(self.luns))
        first, *others = self.targets
        return Config(
            luns=tuple(self.luns),
            iqn=first.iqn,
            portals=first.portals or Config().portals,
            access=first.access,
            chap_users=first.chap_users or (),
            target_chap=first.target_chap,
            targets=tuple(others),
        )

    def _unused_name(self, origin: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", origin.rpartition("/")[2]).lstrip("._-")[: MAX_NAME - 4] or "disk"
        taken = set(self._names.values())
        candidates = [plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3))]
        return next(name for name in candidates if name not in taken)


def closed(target: TargetConfig, rules: Iterable[AccessRule]) -> TargetConfig:
    """Return a target with these rules. Without rules, no initiator may log in, because the other target was closed too."""
    return replace(target, access=tuple(rules) or (AccessRule((NOBODY,), ()),))


def merged(users: Iterable[ChapUser]) -> tuple[ChapUser, ...]:
    """Return users with different names. If initiators share a user and a secret, the user is for every initiator.

    Users of one name with different secrets stay, and the file is then not valid.
    """
    found: dict[tuple[str, bytes], ChapUser] = {}
    for user in users:
        key = user.user, user.secret
        found[key] = replace(found[key], initiator=None) if key in found else user
    return tuple(found.values())
