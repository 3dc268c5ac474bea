"""Text of a peer or of a file, as it may be written to a terminal."""


def printable(text: str) -> str:
    """The text, with an escape in place of each character that could steer the terminal."""
    return text if text.isprintable() else "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
