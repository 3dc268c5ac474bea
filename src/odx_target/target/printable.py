"""Function that makes text from a peer or a file safe for a terminal."""


def printable(text: str) -> str:
    """Replace each unprintable character of a text by an escape sequence."""
    return text if text.isprintable() else "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
