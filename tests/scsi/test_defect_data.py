import pytest

from tests.scsi.array import UnitUnderTest, data_of


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        ("37 00 00 00 00 00 00 00 ff 00", "00 00 00 00"),
        ("37 00 1d 00 00 00 00 00 ff 00", "00 1d 00 00"),
        ("37 00 0d 00 00 00 00 00 02 00", "00 0d"),
        ("37 00 0d 00 00 00 00 00 00 00", ""),
        ("b7 18 00 00 00 00 00 00 00 ff 00 00", "00 18 00 00 00 00 00 00"),
        ("b7 0c 00 00 00 07 00 00 00 05 00 00", "00 0c 00 00 00"),
    ],
)
def test_there_are_no_defects(cdb, expected):
    assert data_of(UnitUnderTest().command(cdb)) == bytes.fromhex(expected)
