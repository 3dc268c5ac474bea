"""Names that values of faults may have, and that other modules of this folder act on."""

from enum import StrEnum


class TokenFate(StrEnum):
    """The fates of the tokens of an array."""

    EXPIRE = "expire"
    LOSE = "lose"
    """The tokens end, and the array forgets that they existed, so that they are unknown."""
    REVOKE = "revoke"
    CANCEL = "cancel"


class Digest(StrEnum):
    """The digests of a PDU."""

    HEADER = "header"
    DATA = "data"
