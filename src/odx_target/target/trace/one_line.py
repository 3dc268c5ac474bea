"""Functions that describe rows, tokens and sense data as parts of a line in a trace."""

import hashlib
from collections.abc import Iterable

from odx_target.copymgr.tokens.format import TOKEN_BYTES
from odx_target.copymgr.tokens.rod_types import RodType, describe_rod_type
from odx_target.scsi.describe.data import describe_sense
from odx_target.scsi.describe.rows import Row
from odx_target.scsi.reply import Status

HASH_CHARACTERS = 8
"""Number of characters of a token's SHA-256 that are shown. 8 characters are enough to distinguish the tokens of one trace."""
MAX_SHOWN_BYTES = 32
MAX_VALUE_CHARACTERS = 256
"""Maximum number of characters that are shown of a field's value. The longest target name has 223 characters."""

# Fields that are shown earlier in another form, or that always have the same value.
_NOT_SHOWN = {"operation_code", "service_action", "response_code", "additional_sense_length", "reserved"}
# In these fields, zero is a value. In all other fields, zero means that the field is not used.
_SHOWN_AT_ZERO = (
    *("address", "identifier", "list_length", "allocation_length", "transfer_length", "number_of", "count"),
    *("wce", "d_sense", "swp"),
)
# Exceptions to these names: in these fields, zero means that nothing is set.
_NOT_SHOWN_AT_ZERO = {"disable_prefetch_transfer_length", "number_of_cache_segments"}
# Keys with which authentication methods prove secrets (RFC 7143 12.1), in upper case.
_PROVING_KEYS = {"CHAP_C", "CHAP_R", "KRB_AP_REQ", "KRB_AP_REP", "SRP_S", "SRP_A", "SRP_B", "SRP_M", "SRP_HM"}
_UNKNOWN_BYTES = (1 << 128) - 1


def describe_rows(rows: Iterable[Row]) -> list[str]:
    """Return `name=value` or `name=value (meaning)` for each row that should be shown. Numbers are decimal."""
    return [_word(row) for row in rows if _is_shown(row)]


def _is_shown(row: Row) -> bool:
    if row.name in _NOT_SHOWN:
        return False
    if row.value != "0" or row.words:
        return True
    return row.name not in _NOT_SHOWN_AT_ZERO and any(part in row.name for part in _SHOWN_AT_ZERO)


def _word(row: Row) -> str:
    if row.words.isdecimal() and not row.name.endswith("_code"):
        return f"{row.name}={row.words}"
    if row.words.isdecimal():
        return f"{row.name}={row.value}"
    value = row.value if len(row.value) <= MAX_VALUE_CHARACTERS else f"{row.value[:MAX_VALUE_CHARACTERS]}..."
    return f"{row.name}={value} ({row.words})" if row.words else f"{row.name}={value}"


def describe_bytes(data: bytes | memoryview) -> str:
    """Describe the first bytes of data in hexadecimal."""
    shown = bytes(data[:MAX_SHOWN_BYTES]).hex(" ")
    return shown if len(data) <= MAX_SHOWN_BYTES else f"{shown} ... ({len(data)} bytes)"


def describe_token_briefly(token: bytes) -> str:
    """Describe a ROD token by its type, its identifier and a hash. The secret bytes of the token are not shown."""
    kind = int.from_bytes(token[:4], "big")
    if len(token) < 8:
        return f"rod_token=[{len(token)} bytes]"
    parts = [f"{kind:08x}h {describe_rod_type(kind)}"]
    if kind != RodType.BLOCK_DEVICE_ZERO and len(token) >= 64:
        size_bytes = int.from_bytes(token[48:64], "big")
        parts.append(f"identifier {token[8:16].hex()}")
        parts.append("size unknown" if size_bytes == _UNKNOWN_BYTES else f"{size_bytes} bytes")
    if len(token) == TOKEN_BYTES:
        parts.append(f"sha256 {hashlib.sha256(token).hexdigest()[:HASH_CHARACTERS]}...")
    return f"rod_token=[{', '.join(parts)}]"


def describe_key_value(key: str, value: str) -> str:
    """Describe the value of a text key.

    If the value proves a secret, as in CHAP_R, show only the length of the value. Otherwise, a reader could use the value to
    guess the secret. The key is recognized even in lower case or with blanks.
    """
    return f"({len(value)} characters)" if key.strip().upper() in _PROVING_KEYS else value


def describe_status(status: int) -> str:
    """Return the standard's name for a SCSI status."""
    try:
        return Status(status).name.replace("_", " ")
    except ValueError:
        return f"status {status:02x}h"


def describe_sense_briefly(sense: bytes) -> str:
    """Describe sense data: the sense key, the code, and other fields that are set."""
    try:
        rows = {row.name: row for row in describe_sense(sense)}
    except ValueError:
        return f"sense {describe_bytes(sense)}"
    key = rows["sense_key"]
    parts = [key.words or f"sense key {key.value}"]
    if "meaning" in rows:
        parts.append(f"{rows['meaning'].value} {rows['meaning'].words}")
    parts += [rows[name].words for name in ("at_fault", "progress") if name in rows]
    if "information" in rows and rows["valid"].value == "1":
        parts.append(_word(rows["information"]))
    if rows.get("command_specific_information", key).value not in ("0", key.value):
        parts.append(_word(rows["command_specific_information"]))
    return ", ".join(parts)
