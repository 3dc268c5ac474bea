import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi import sense
from odx_target.scsi.sense import CONDITIONS, CheckCondition, SenseKey
from tests.scsi.array import UnitUnderTest

FIXTURE = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "scsi_sense.toml").read_text())
POINTERS = ("cdb_field", "data_field", "bit", "information", "command_specific")


def check_condition(case: dict[str, Any]) -> CheckCondition:
    condition = getattr(sense, case["condition"])
    return CheckCondition(condition, **{name: case[name] for name in POINTERS if name in case})


@pytest.mark.parametrize("case", FIXTURE["fixed"], ids=lambda case: case["what"])
def test_fixed_format_is_byte_for_byte_as_written_down(case):
    assert check_condition(case).sense() == bytes.fromhex(case["sense"])


@pytest.mark.parametrize("case", FIXTURE["descriptor"], ids=lambda case: case["what"])
def test_descriptor_format_is_byte_for_byte_as_written_down(case):
    assert check_condition(case).sense(descriptor_format=True) == bytes.fromhex(case["sense"])


def test_every_condition_has_codes_of_its_own():
    codes = [(condition.asc, condition.ascq) for condition in CONDITIONS]
    assert len(set(codes)) == len(codes)


def test_all_eleven_invalid_token_operations_have_names():
    assert {condition.ascq for condition in CONDITIONS if condition.asc == 0x23} == set(range(11))


def test_a_key_may_replace_the_conditions_own():
    error = CheckCondition(sense.INSUFFICIENT_RESOURCES, key=SenseKey.ABORTED_COMMAND)
    assert error.sense()[2] == 0x0B
    assert error.sense(descriptor_format=True)[1] == 0x0B


def test_reply_is_check_condition_without_data():
    reply = CheckCondition(sense.WRITE_PROTECTED).reply_for(UnitUnderTest().logical_unit)
    assert (reply.status, list(reply.data_in), reply.transfer_bytes) == (2, [], 0)
    assert str(CheckCondition(sense.WRITE_PROTECTED)) == "write protected"


CHECK_CONDITIONS = st.builds(
    CheckCondition,
    st.sampled_from(CONDITIONS),
    cdb_field=st.none() | st.integers(0, 31),
    data_field=st.none() | st.integers(0, 0xFFFF),
    bit=st.none() | st.integers(0, 7),
    information=st.none() | st.integers(0, 2**64 - 1),
    command_specific=st.none() | st.integers(0, 2**64 - 1),
)


@given(CHECK_CONDITIONS)
def test_fixed_format_always_has_18_bytes_and_the_code(error):
    data = error.sense()
    assert len(data) == 18 == data[7] + 8
    assert (data[2], data[12], data[13]) == (error.condition.key, error.condition.asc, error.condition.ascq)
    assert bool(data[0] & 0x80) == (error.information is not None and error.information < 2**32)


@given(CHECK_CONDITIONS)
def test_descriptor_format_states_its_own_length(error):
    data = error.sense(descriptor_format=True)
    assert len(data) == 8 + data[7]
    assert (data[1], data[2], data[3]) == (error.condition.key, error.condition.asc, error.condition.ascq)


@pytest.mark.skipif(shutil.which("sg_decode_sense") is None, reason="sg_decode_sense of sg3-utils is not installed")
@pytest.mark.parametrize("descriptor_format", [False, True])
def test_sg_decode_sense_reads_the_same(descriptor_format):
    for condition in CONDITIONS:
        text = _sg_decode_sense(CheckCondition(condition, information=77).sense(descriptor_format=descriptor_format))
        assert condition.key.name.replace("_", " ").lower() in text.lower()
        assert condition.words.lower() in text.lower()


def _sg_decode_sense(data: bytes) -> str:
    arguments = ["sg_decode_sense", *(f"{byte:02x}" for byte in data)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=20)
    assert not done.stderr
    return done.stdout
