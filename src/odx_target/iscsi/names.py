"""iSCSI names (RFC 7143 4.2.7), and their preparation for comparison (RFC 3722, a profile of RFC 3454).

    iqn.YYYY-MM.REVERSED.DOMAIN[:ANYTHING]      eui. and 16 hexadecimal digits      naa. and 16 or 32 hexadecimal digits

Names are compared in the form that `prepare_name` returns: lower case, in normalization form KC of Unicode 3.2, without the
characters that RFC 3454 removes. Therefore a host may write a name with capitals, such as eui.02004567A425678D in the RFC.

`check_name` checks the name that a peer sends. RFC 3722 has stricter rules for new names, but names of existing hosts have
harmless characters such as underscores. A name is refused if it cannot be displayed, or if it does not have the form of an
iSCSI name. A comma or a space is also refused, because it would make the name of a port ambiguous.
"""

import re
import stringprep
from unicodedata import ucd_3_2_0

MAX_NAME_BYTES = 223
"""Longest iSCSI name (RFC 7143 4.2.7.1)."""
DESIGNATORS = ("iqn.", "eui.", "naa.")

_HEXADECIMAL_NAME = re.compile(r"eui\.[0-9a-f]{16}|naa\.(?:[0-9a-f]{16}|[0-9a-f]{32})")
_NOT_IN_NAMES = frozenset(" ,\u3002")
"""Characters that are refused in names. In the name of an initiator port, a comma separates the initiator name from the ISID.
U+3002 looks like a dot (RFC 3722 6.1)."""
_PROHIBITED = (
    stringprep.in_table_c11_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_d1,  # right-to-left text: not allowed beside Latin letters, which begin every name (RFC 3454 6)
)


def prepare_name(text: str) -> str:
    """Return the form of a name that is compared byte for byte (RFC 3722 4, 5). The text need not be a valid name."""
    if text.isascii():
        return text.lower()
    kept = (character for character in text if not stringprep.in_table_b1(character))
    return ucd_3_2_0.normalize("NFKC", "".join(map(stringprep.map_table_b2, kept)))


def check_name(text: str) -> None:
    """Check that a text is an iSCSI name (RFC 7143 4.2.7.2 to 4.2.7.6). Raises ValueError."""
    prepared = prepare_name(text)
    shown = ascii(text[:MAX_NAME_BYTES])
    if max(len(text.encode()), len(prepared.encode())) > MAX_NAME_BYTES:
        raise ValueError(f"{shown} is longer than {MAX_NAME_BYTES} bytes")
    if not prepared.startswith(DESIGNATORS) or len(prepared) == len(DESIGNATORS[0]):
        raise ValueError(f"{shown} is no iSCSI name: those begin with {', '.join(DESIGNATORS)}")
    if not prepared.startswith("iqn.") and not _HEXADECIMAL_NAME.fullmatch(prepared):
        raise ValueError(f"{shown} is no iSCSI name: {prepared[:4]} takes 16 hexadecimal digits, naa. also 32")
    if any(_is_prohibited(character) for character in prepared):
        raise ValueError(f"{shown} has a character that no iSCSI name has")


def _is_prohibited(character: str) -> bool:
    return character in _NOT_IN_NAMES or any(in_table(character) for in_table in _PROHIBITED)
