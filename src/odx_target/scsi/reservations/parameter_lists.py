"""The parameter lists of PERSISTENT RESERVE OUT (SPC-4 6.16.3 and 6.16.4)."""

from odx_target.scsi.layout import Layout, flag, number


class BasicList(Layout):
    """The parameter list of all service actions except REGISTER AND MOVE."""

    size_bytes = 24
    reservation_key: int = number(0, 8)
    service_action_reservation_key: int = number(8, 8)
    spec_i_pt: bool = flag(20, 3)
    all_tg_pt: bool = flag(20, 2)
    aptpl: bool = flag(20, 0)


class MoveList(Layout):
    """The parameter list of REGISTER AND MOVE."""

    reservation_key: int = number(0, 8)
    service_action_reservation_key: int = number(8, 8)
    unreg: bool = flag(17, 1)
    aptpl: bool = flag(17, 0)
    relative_target_port_identifier: int = number(18, 2)
    transportid_length: int = number(20, 4)


TRANSPORT_ID_LENGTH_BYTES = 4
"""Size of the field that contains the length of the TransportIDs in a basic parameter list with SPEC_I_PT."""
MIN_TRANSPORT_ID_BYTES = 24
TRANSPORT_ID_ALIGNMENT_BYTES = 4
TRANSPORT_IDS_BYTE = BasicList.size_bytes + TRANSPORT_ID_LENGTH_BYTES
"""Position of the first TransportID in a basic parameter list with SPEC_I_PT."""
