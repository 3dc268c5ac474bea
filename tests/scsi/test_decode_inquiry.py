import pytest

from odx_target.scsi.commands.inquiry import standard_inquiry_data
from odx_target.scsi.describe.inquiry import claimed_standards
from tests.scsi.array import UnitUnderTest


def test_what_our_array_claims():
    data = standard_inquiry_data(UnitUnderTest().logical_unit, multip=False)
    assert claimed_standards(data) == ["SAM-5", "SPC-4", "SBC-3", "iSCSI"]


@pytest.mark.parametrize(
    ("size_bytes", "standards"), [(58, []), (59, []), (60, ["SPC-3"]), (74, ["SPC-3", "1234h"]), (96, ["SPC-3", "1234h"])]
)
def test_revisions_unknown_standards_and_data_that_end_anywhere(size_bytes, standards):
    data = bytearray(96)
    data[58:60], data[72:74] = bytes.fromhex("0307"), bytes.fromhex("1234")
    assert claimed_standards(bytes(data[:size_bytes])) == standards
