"""Text of a peer or of a file, made safe for a terminal."""


def printable(text: str) -> str:
    """The text, with an escape in place of each character that cannot be printed."""
    return text if text.isprintable() else "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
