"""Checks of host names before they are looked up, since Python raises UnicodeError if it cannot encode a label."""

import errno

MAX_LABEL_BYTES = 63
"""RFC 1035 2.3.4. Internationalized names are measured in the form that goes into the DNS (RFC 5891 4.4)."""

MAX_HOST_NAME_BYTES = 253
"""RFC 1035 2.3.4: 255 bytes on the wire, where each label has a length byte and the last one is empty."""


def host_name_fault(name: str) -> str | None:
    """Return why a host name or address cannot be looked up, for an error message; None if it can.

    A name without a fault need not exist.
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
    """Return an OSError in place of a look-up's UnicodeError, since callers expect one for a name that is not found."""
    return OSError(errno.EINVAL, host_name_fault(name) or f"no host name: {error}")
