"""The golden bytes of `fixtures/copymgr.toml`."""

import tomllib
from pathlib import Path

FIXTURES = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "copymgr.toml").read_text())
TOKEN = b"\xa5" * 512


def golden(section: str, name: str = "data") -> bytes:
    """Return the bytes of one message."""
    return b"".join(_part(part) for part in FIXTURES[section][name].split())


def _part(text: str) -> bytes:
    value, _, count = text.partition("*")
    return bytes.fromhex(value) * int(count or 1)
