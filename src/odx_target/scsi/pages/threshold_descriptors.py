"""The Logical Block Provisioning mode page (SBC-4 6.5.9) and its threshold descriptors."""

from odx_target.scsi.layout import Layout, bits, flag, number, octets
from odx_target.scsi.unit.thresholds import COUNT_OF_THRESHOLDS, Threshold

_DESCRIPTORS_START = 12
_RESOURCE_BYTE = 1


class ThresholdDescriptor(Layout):
    """A threshold descriptor."""

    enabled: bool = flag(0, 7)
    threshold_type: int = bits(0, 5, 3)
    threshold_arming: int = bits(0, 2, 3)
    threshold_resource: int = number(1, 1)
    threshold_count: int = number(4, 4)


class LogicalBlockProvisioningPage(Layout):
    """The body of the Logical Block Provisioning page, after its header of four bytes."""

    situa: bool = flag(0, 0)
    threshold_descriptors: bytes = octets(_DESCRIPTORS_START, COUNT_OF_THRESHOLDS * ThresholdDescriptor.size_bytes)


def changeable_thresholds() -> Layout:
    """Return the mask of the body of the page. A bit is 1 if MODE SELECT can change it.

    THRESHOLD TYPE is always 000b, because thresholds in percent are not supported.
    """
    descriptor = ThresholdDescriptor(enabled=True, threshold_arming=0b001, threshold_resource=0b11, threshold_count=0xFFFF_FFFF)
    return LogicalBlockProvisioningPage(threshold_descriptors=descriptor.build() * COUNT_OF_THRESHOLDS)


def descriptors(body: bytes) -> list[bytes]:
    """Return the threshold descriptors in the body of the page."""
    step = ThresholdDescriptor.size_bytes
    return [body[at : at + step] for at in range(_DESCRIPTORS_START, len(body) - step + 1, step)]


def build_thresholds(thresholds: tuple[Threshold, ...]) -> Layout:
    """Return the body of the page that reports these thresholds."""
    built = (
        ThresholdDescriptor(
            enabled=each.is_enabled, threshold_arming=each.arming, threshold_resource=each.resource, threshold_count=each.count
        ).build()
        for each in thresholds
    )
    return LogicalBlockProvisioningPage(threshold_descriptors=b"".join(built))


def parse_thresholds(body: bytes) -> tuple[Threshold, ...]:
    """Return the thresholds in the body of the page."""
    return tuple(
        Threshold(fields.enabled, fields.threshold_arming, fields.threshold_resource, fields.threshold_count)
        for fields in map(ThresholdDescriptor.parse, descriptors(body))
    )


def invalid_threshold_byte(body: bytes) -> int | None:
    """Return the index of the first invalid THRESHOLD RESOURCE in the body. Return None if all descriptors are valid."""
    for index, threshold in enumerate(parse_thresholds(body)):
        if not threshold.is_valid:
            return _DESCRIPTORS_START + index * ThresholdDescriptor.size_bytes + _RESOURCE_BYTE
    return None
