"""Checks of names, attributes and sizes. They are made before a record with these values is written to the log."""

from collections.abc import Mapping

from odx_target.store.errors import OverLimit, StoreError, WrongSize
from odx_target.store.log.records import MAX_ATTRIBUTES_BYTES, MAX_NAME_BYTES
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS


def check_text(what: str, text: str, max_bytes: int) -> None:
    """Raise StoreError if a text is not valid Unicode. Raise OverLimit if the text is longer than `max_bytes` in UTF-8."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise StoreError(f"{what} is not Unicode text") from None
    if size_bytes > max_bytes:
        raise OverLimit(f"{what} is over the limit of {max_bytes} bytes")


def check_name(what: str, name: str) -> None:
    """Raise StoreError if the name of a volume or snapshot is empty, not valid Unicode or too long."""
    if not name:
        raise StoreError(f"{what} is empty")
    check_text(what, name, MAX_NAME_BYTES)


def check_attributes(what: str, attributes: Mapping[str, str]) -> None:
    """Raise StoreError if the attributes of a volume or snapshot are not valid Unicode, or if they are too long in total."""
    check_text(what, "".join(f"{key}--{value}--" for key, value in attributes.items()), MAX_ATTRIBUTES_BYTES)


def check_volume_size(size_blocks: int) -> None:
    """Raise WrongSize if no volume can have this size."""
    if not 0 < size_blocks <= MAX_SIZE_BLOCKS:
        raise WrongSize(f"a volume of {size_blocks} blocks is not within 1 to {MAX_SIZE_BLOCKS}")
