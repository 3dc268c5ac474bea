"""Reading of the files in fixtures/initiator."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "fixtures" / "initiator"
TOKEN = b"\xa5" * 512


def golden(name: str) -> list[bytes]:
    """Return the messages of a fixture, which has one on each line."""
    lines = (FOLDER / f"{name}.hex").read_text().splitlines()
    return [_message(line) for line in lines if line and not line.startswith("#")]


def _message(line: str) -> bytes:
    message = b""
    for word in line.split():
        digits, _, times = word.partition("*")
        message += bytes.fromhex(digits) * int(times or 1)
    return message
