"""The sense data of an EXTENDED COPY that failed in one of its segments (SPC-4 5.16.7.4).

The sense key is COPY ABORTED, and the sense data has the number of the segment. If a read of the copy source or a write of the
copy destination failed, the sense data also has the status and the sense data of this read or write.
"""

import struct
from dataclasses import dataclass

from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import FIXED_FORMAT_BYTES, SenseKey

_ADDITIONAL_LENGTH_BYTE = 7
_SENSE_KEY_SPECIFIC_BYTE = 15
# SKSV is 1, and SD is 1: the field pointer is an offset in the segment descriptor, not in the parameter list.
_SEGMENT_POINTER = struct.Struct(">BH")
_SEGMENT_POINTER_DESCRIPTOR = struct.Struct(">BBxxBHx")
_SKSV_AND_SD = 0xA0
_FORWARDED_SENSE = 0x0C
_OF_THE_SOURCE, _OF_THE_DESTINATION = 1, 2


@dataclass(slots=True, eq=False)
class CopyAborted(Refusal):
    """Exception for an EXTENDED COPY that failed in the segment with number `segment`.

    `source` or `destination` is the reply of the read or write that failed. `segment_field` is the offset of an invalid byte in
    the segment descriptor. `information` is the number of destination blocks of the segment that were not written.
    """

    segment: int = 0
    source: Reply | None = None
    destination: Reply | None = None
    segment_field: int | None = None

    def __post_init__(self) -> None:
        self.key = SenseKey.COPY_ABORTED

    def sense(self, *, descriptor_format: bool = False) -> bytes:
        return self._with_descriptors() if descriptor_format else self._with_offsets()

    def _with_offsets(self) -> bytes:
        """Return fixed format sense data. The forwarded status and sense data are at its end, and COMMAND-SPECIFIC INFORMATION
        has their offsets and the number of the segment.
        """
        forwarded, offsets = b"", []
        for reply in (self.source, self.destination):
            offsets.append(0 if reply is None else FIXED_FORMAT_BYTES + len(forwarded))
            forwarded += b"" if reply is None else bytes((reply.status,)) + reply.sense
        self.command_specific = offsets[0] << 24 | offsets[1] << 16 | self.segment
        sense = bytearray(self._fixed_format() + forwarded)
        sense[_ADDITIONAL_LENGTH_BYTE] = len(sense) - _ADDITIONAL_LENGTH_BYTE - 1
        if self.segment_field is not None:
            _SEGMENT_POINTER.pack_into(sense, _SENSE_KEY_SPECIFIC_BYTE, _SKSV_AND_SD, self.segment_field)
        return bytes(sense)

    def _with_descriptors(self) -> bytes:
        self.command_specific = self.segment
        sense = bytearray(self._descriptor_format())
        if self.segment_field is not None:
            sense += _SEGMENT_POINTER_DESCRIPTOR.pack(0x02, 0x06, _SKSV_AND_SD, self.segment_field)
        for origin, reply in ((_OF_THE_SOURCE, self.source), (_OF_THE_DESTINATION, self.destination)):
            if reply is not None:
                sense += bytes((_FORWARDED_SENSE, 2 + len(reply.sense), origin, reply.status)) + reply.sense
        sense[_ADDITIONAL_LENGTH_BYTE] = len(sense) - _ADDITIONAL_LENGTH_BYTE - 1
        return bytes(sense)
