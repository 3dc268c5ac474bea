"""Checks of host names before they are looked up. Without these checks, Python would raise UnicodeError for some
invalid names.
"""

import errno

MAX_LABEL_BYTES = 63
"""Maximum length of a label, which is a part of a host name between two dots (RFC 1035 2.3.4). The length of an
internationalized label is the length of its DNS form (RFC 5891 4.4).
"""

MAX_HOST_NAME_BYTES = 253
"""Longest host name (RFC 1035 2.3.4). In a DNS message such a name takes 255 bytes, because each label has a length byte and an
empty label ends the name."""


def host_name_fault(name: str) -> str | None:
    """Return the reason why a host name or address cannot be looked up, for an error message; None if `name` is correct.

    This function does not look up the host, so a host name without a fault may still not exist.
    """
    labels = name.removesuffix(".").split(".")
    if not name:
        return "there is no host"
    if len(name) > MAX_HOST_NAME_BYTES + name.endswith("."):
        return f"the host name has more than {MAX_HOST_NAME_BYTES} characters"
    if not all(labels):
        return "the host name has an empty label"
    if any(len(label) > MAX_LABEL_BYTES for label in labels):
        return f"the host name has a label of more than {MAX_LABEL_BYTES} characters"
    try:
        name.encode("idna")
    except UnicodeError:
        return "the host name has characters that no host name can have, or too many of them"
    return None


def look_up_error(name: str, error: UnicodeError) -> OSError:
    """Return an OSError that replaces the UnicodeError for a host name. Callers handle it like the error for a name that is not
    found.
    """
    return OSError(errno.EINVAL, host_name_fault(name) or f"no host name: {error}")
