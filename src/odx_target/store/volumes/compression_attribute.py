"""The attribute of a volume that chooses its compression, and the values of the attribute."""

from collections.abc import Mapping

from odx_target.store.errors import StoreError

COMPRESSION_ATTRIBUTE = "compression"
"""Name of the attribute of a volume that chooses its compression. A volume without this attribute stores its data
uncompressed."""

OFF = "off"
LZ4 = "lz4"
ZSTANDARD = "zstd"

COMPRESSIONS: Mapping[str, str] = {
    OFF: "data is stored uncompressed",
    LZ4: "writes of at least 16 KiB are compressed with LZ4",
    ZSTANDARD: "as lz4; when the cleaner moves the data later, it compresses the data with zstandard",
}
"""The values of the attribute `compression` of a volume, with their meanings."""


def compression_of(attributes: Mapping[str, str]) -> str:
    """Return the compression that the attributes of a volume choose. Returns OFF if they choose none, or one that this version
    does not know.
    """
    choice = attributes.get(COMPRESSION_ATTRIBUTE, OFF)
    return choice if choice in COMPRESSIONS else OFF


def check_compression(attributes: Mapping[str, str]) -> None:
    """Raise StoreError if the attributes choose a compression that does not exist."""
    choice = attributes.get(COMPRESSION_ATTRIBUTE, OFF)
    if choice not in COMPRESSIONS:
        raise StoreError(f"compression is one of {', '.join(COMPRESSIONS)}, not {choice!r}")
