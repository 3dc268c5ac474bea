"""The token of the HTTP control port in a file."""

from pathlib import Path

from odx_target.target.config.error import ConfigError

MIN_TOKEN_CHARACTERS, MAX_TOKEN_CHARACTERS = 16, 512
"""Length of a token that an operator chooses. Headers of HTTP have room for the maximum."""


def token_in(path: Path) -> str:
    """Return the token in a file: one line of printable characters. Raises ConfigError and OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_TOKEN_CHARACTERS + 2)
    token = content.decode("ascii", "replace").removesuffix("\n")
    is_long_enough = MIN_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_CHARACTERS
    if not is_long_enough or not token.isascii() or not token.isprintable() or " " in token:
        length = f"{MIN_TOKEN_CHARACTERS} to {MAX_TOKEN_CHARACTERS}"
        raise ConfigError(f"{path}: want one line of {length} printable ASCII characters without blanks")
    return token
