"""iSCSI URLs: `iscsi://[user[%secret]@]HOST[:PORT]/IQN/LUN[?target_user=USER&target_password=SECRET]`.

The URLs have the same form as in libiscsi. The target must authenticate itself with the credentials after the question mark
(mutual CHAP).
"""

from dataclasses import dataclass, field

from odx_target.initiator.errors import BadUrl
from odx_target.iscsi.host_names import host_name_fault
from odx_target.iscsi.names import DESIGNATORS, MAX_NAME_BYTES, prepare_name

SCHEME = "iscsi://"
DEFAULT_PORT = 3260
"""Registered port of iSCSI (RFC 7143 4.2.7.1)."""
MAX_LUN = 0x3FFF
"""Largest LUN of flat space addressing (SAM-5 4.7.7.3)."""
TARGET_KEYS = ("target_user", "target_password")


@dataclass(frozen=True, slots=True)
class Portal:
    """The address of a target's portal."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class IscsiUrl:
    """A logical unit of a target, and a portal of the target."""

    portal: Portal
    target_name: str
    lun: int
    user: str | None = None
    secret: str | None = field(default=None, repr=False)
    target_user: str | None = None
    target_secret: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the URL without its secrets."""
        user = "" if self.user is None else f"{self.user}@"
        return f"{SCHEME}{user}{self.portal}/{self.target_name}/{self.lun}"


def parse_url(text: str) -> IscsiUrl:
    """Read the URL of a logical unit. Raises BadUrl."""
    user, secret, portal, path, query = _split(text)
    if len(path) != 2 or not all(path):
        raise BadUrl(f"{_shown(text)}: expected iscsi://HOST:PORT/IQN/LUN")
    name = prepare_name(path[0])
    if not name.startswith(DESIGNATORS) or len(name.encode()) > MAX_NAME_BYTES:
        raise BadUrl(f"{_shown(text)}: {path[0]!r} is not an iSCSI name (iqn., eui. or naa.)")
    target_user, target_secret = (None, None) if query is None else _target_credentials(text, query)
    if target_user is not None and (user is None or secret is None):
        raise BadUrl(f"{_shown(text)}: a target proves itself only to a user with a secret (iscsi://USER%SECRET@...)")
    return IscsiUrl(portal, name, _lun(text, path[1]), user, secret, target_user, target_secret)


def _split(text: str) -> tuple[str | None, str | None, Portal, list[str], str | None]:
    if not text.lower().startswith(SCHEME):
        raise BadUrl(f"{_shown(text)}: an iSCSI URL begins with {SCHEME}")
    authority, _, path = text[len(SCHEME) :].partition("/")
    credentials, at, place = authority.rpartition("@")
    user, percent, secret = credentials.partition("%")
    if at and not user:
        raise BadUrl(f"{_shown(text)}: no user name before '@'")
    path, question, query = path.partition("?")
    return user or None, secret if percent else None, _portal(text, place), path.split("/"), query if question else None


def _target_credentials(text: str, query: str) -> tuple[str, str]:
    pairs = dict(part.partition("=")[::2] for part in query.split("&"))
    if set(pairs) != set(TARGET_KEYS) or not all(pairs.values()):
        raise BadUrl(f"{_shown(text)}: after '?' there must be {' and '.join(TARGET_KEYS)}, each with a value")
    return pairs["target_user"], pairs["target_password"]


def _portal(text: str, place: str) -> Portal:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadUrl(f"{_shown(text)}: an IPv6 address is written [ADDRESS]:PORT")
        port = rest[1:] if rest else None
    else:
        host, colon, port_text = place.partition(":")
        port = port_text if colon else None
    if not host or any(character.isspace() for character in host):
        raise BadUrl(f"{_shown(text)}: no host")
    if fault := host_name_fault(host):
        raise BadUrl(f"{_shown(text)}: {fault}")
    return Portal(host, DEFAULT_PORT if port is None else _port(text, port))


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535 and len(port) <= 5):
        raise BadUrl(f"{_shown(text)}: {port!r} is not a port (1 to 65535)")
    return int(port)


def _lun(text: str, lun: str) -> int:
    if not (lun.isascii() and lun.isdigit() and len(lun) <= 5 and int(lun) <= MAX_LUN):
        raise BadUrl(f"{_shown(text)}: {lun!r} is not a LUN (0 to {MAX_LUN})")
    return int(lun)


def _shown(text: str) -> str:
    """Return the URL for a message, on one line and without secrets. The URL may be malformed."""
    text = text.partition(f"{TARGET_KEYS[1]}=")[0]
    before, percent, rest = text.partition("%")
    place = rest.rpartition("@")[2].partition("?")[0] if "@" in rest else ""
    return repr((f"{before}@{place}" if percent else before.partition("?")[0])[:200])
