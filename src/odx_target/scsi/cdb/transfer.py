"""Fast decoders for the CDBs of READ and WRITE. A test compares these decoders with the layouts in `block_commands`.

Each decoder returns byte 1, the LOGICAL BLOCK ADDRESS and the number of logical blocks. In the 6-byte form, byte 1 contains the
upper bits of the address.
"""

import struct

TRANSFER_6 = struct.Struct(">xBHB")
TRANSFER_10 = struct.Struct(">xBIxH")
TRANSFER_12 = struct.Struct(">xBII")
TRANSFER_16 = struct.Struct(">xBQI")

FUA_BIT = 0x08
