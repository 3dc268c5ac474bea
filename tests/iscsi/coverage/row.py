"""One rule of a standard: its clause, the side that must obey it, and the tests that check it."""

from dataclasses import dataclass
from enum import Enum
from functools import partial


class Strength(Enum):
    """The strength of a rule (RFC 2119)."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"


class Side(Enum):
    """The side that must obey a rule."""

    TARGET = "target"
    INITIATOR = "initiator"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. `tests` are names as pytest shows them, without parameters. If there are none, `note` is the reason."""

    clause: str
    strength: Strength
    side: Side
    rule: str
    tests: tuple[str, ...] = ()
    note: str = ""


def _row(strength: Strength, clause: str, side: Side, rule: str, *tests: str, note: str = "") -> Row:
    return Row(clause, strength, side, rule, tests, note)


must = partial(_row, Strength.MUST)
should = partial(_row, Strength.SHOULD)
may = partial(_row, Strength.MAY)
TARGET, INITIATOR, BOTH = Side.TARGET, Side.INITIATOR, Side.BOTH


def _in(path: str, name: str) -> str:
    return f"tests/{path}::{name}"


text = partial(_in, "iscsi/test_text.py")
login = partial(_in, "iscsi/test_login.py")
rules = partial(_in, "iscsi/test_login_rules.py")
exchange = partial(_in, "iscsi/test_text_exchange.py")
sessions = partial(_in, "iscsi/test_sessions.py")
names = partial(_in, "iscsi/test_names.py")
chap = partial(_in, "iscsi/test_chap.py")
framing = partial(_in, "iscsi/test_framing.py")
full_feature = partial(_in, "iscsi/test_full_feature.py")
data_out = partial(_in, "iscsi/test_data_out.py")
portals = partial(_in, "target/test_target_directory.py")
config = partial(_in, "target/test_config.py")
own_login = partial(_in, "initiator/test_login.py")
own_rules = partial(_in, "initiator/test_login_rules.py")
own_connection = partial(_in, "initiator/test_connection.py")
own_session = partial(_in, "initiator/test_session.py")
redirection = partial(_in, "initiator/test_redirection.py")
