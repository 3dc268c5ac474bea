"""The limits of EXTENDED COPY that a target reports (SPC-4 6.18)."""

from dataclasses import dataclass

from odx_target.environment import Buffer
from odx_target.initiator.errors import BadAnswer

MIN_PARAMETER_BYTES = 40
"""Length of the parameters up to and including the granularities. LIO and others add a list of descriptor types."""
ALLOCATION_BYTES = 256
"""Allocation length of the request, as in `sg_xcopy`. LIO refuses a length below 54."""


@dataclass(frozen=True, slots=True)
class OperatingParameters:
    """The data of RECEIVE COPY OPERATING PARAMETERS. A value of 0 for the segment length means that it is not limited.

    `no_list_identifier` is the SNLID bit. `granularity_bytes` is the unit of segment lengths.
    """

    no_list_identifier: bool = False
    max_cscds: int = 2
    max_segments: int = 1
    max_descriptors_bytes: int = 0xFFFF
    max_segment_bytes: int = 0
    granularity_bytes: int = 1

    def __str__(self) -> str:
        longest = f"at most {self.max_segment_bytes} bytes each" if self.max_segment_bytes else "of any length"
        return f"EXTENDED COPY of {self.max_segments} segments, {longest}, granularity {self.granularity_bytes}"


def read_operating_parameters(data: Buffer) -> OperatingParameters:
    """Decode the data of RECEIVE COPY OPERATING PARAMETERS. Raises BadAnswer."""
    body = bytes(data)
    if len(body) < MIN_PARAMETER_BYTES:
        raise BadAnswer(
            f"RECEIVE COPY OPERATING PARAMETERS returned {len(body)} bytes, at least {MIN_PARAMETER_BYTES} expected"
        )
    return OperatingParameters(
        no_list_identifier=bool(body[4] & 0x01),
        max_cscds=int.from_bytes(body[8:10], "big"),
        max_segments=int.from_bytes(body[10:12], "big"),
        max_descriptors_bytes=int.from_bytes(body[12:16], "big"),
        max_segment_bytes=int.from_bytes(body[16:20], "big"),
        granularity_bytes=1 << min(body[37], 31),
    )
