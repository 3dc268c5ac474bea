"""Functions for tests of layouts."""

from odx_target.scsi.layout import Layout


def named_bits(layout: type[Layout]) -> bytes:
    """Return a mask of the bits that belong to fields."""
    bits = layout.size_bytes * 8
    mask = sum(((1 << place.size) - 1) << (bits - place.start - place.size) for place in layout.places.values())
    return mask.to_bytes(layout.size_bytes, "big")
