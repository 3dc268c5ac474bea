"""Every property that this array announces, and the test that proves it.

Every field of the pages that is not zero must have a row here, and the test in the row must exist. So every announced property
is tested.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odx_target.binary_layout import Value
from odx_target.scsi.commands import inquiry, task_management_functions
from odx_target.scsi.commands.blocks import capacity
from odx_target.scsi.layout import Layout
from odx_target.scsi.pages import mode as mode_pages
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.scsi.pages.threshold_descriptors import LogicalBlockProvisioningPage
from odx_target.scsi.reservations import persistent_reserve_in
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from tests.scsi.array import UnitUnderTest, code_of, data_of

TESTS = Path(__file__).parents[1]

SHAPE = "test_inquiry.py::test_standard_data_tells_what_the_unit_is"
TASK_SET, PLACES, TRANSFER, PROVISIONING = "test_task_set.py", "test_places.py", "test_transfer.py", "test_provisioning.py"
LBA_STATUS = "test_lba_status.py"
CLAIMS = "test_inquiry.py::test_a_standard_is_claimed_if_and_only_if_all_its_mandatory_commands_are_there"
LISTED = "test_inquiry.py::test_every_page_states_its_code_and_length"
RESERVING = "test_reservation_access.py"
THRESHOLDS = "test_thresholds.py"

PROOFS: dict[str, dict[str, str]] = {
    "INQUIRY": {
        "version": CLAIMS,
        "version_descriptor_1": CLAIMS,
        "version_descriptor_2": CLAIMS,
        "version_descriptor_3": CLAIMS,
        "version_descriptor_4": CLAIMS,
        "hisup": "test_unit_commands.py::test_luns_are_written_in_the_shortest_method",
        "response_data_format": SHAPE,
        "additional_length": SHAPE,
        "cmdque": f"{TASK_SET}::test_tasks_that_do_not_meet_run_beside_each_other",
        "t10_vendor_identification": SHAPE,
        "product_identification": SHAPE,
        "product_revision_level": SHAPE,
    },
    "VPD page 86h": {
        "simpsup": f"{TASK_SET}::test_overlapping_tasks_keep_their_order",
        "ordsup": f"{TASK_SET}::test_an_ordered_task_waits_for_all_and_all_wait_for_it",
        "headsup": f"{TASK_SET}::test_head_of_queue_passes_those_who_wait_but_not_those_who_run",
        "v_sup": f"{TRANSFER}::test_without_a_write_cache_every_write_is_durable",
        "luiclr": "test_task_management.py::test_changed_luns_are_reported_once_to_each_nexus",
    },
    "VPD page B0h": {
        "wsnz": "test_command_checks.py::test_a_cdb_is_refused_where_it_is_wrong",
        "maximum_compare_and_write_length": "test_compare_and_write.py::test_the_limit_is_announced_and_kept",
        "optimal_transfer_length_granularity": f"{TRANSFER}::test_aligned_transfers_are_not_copied",
        "maximum_transfer_length": "test_command_checks.py::test_a_transfer_is_as_long_as_the_block_limits_say_and_no_longer",
        "optimal_transfer_length": "test_command_checks.py::test_a_transfer_is_as_long_as_the_block_limits_say_and_no_longer",
        "maximum_prefetch_length": "test_pre_fetch.py::test_no_more_is_read_than_one_command_may_name",
        "maximum_unmap_lba_count": f"{PROVISIONING}::test_limits_of_unmap_at_and_past_them",
        "maximum_unmap_block_descriptor_count": f"{PROVISIONING}::test_limits_of_unmap_at_and_past_them",
        "optimal_unmap_granularity": f"{PROVISIONING}::test_whole_store_blocks_become_holes",
        "ugavalid": f"{PROVISIONING}::test_whole_store_blocks_become_holes",
        "maximum_write_same_length": f"{PROVISIONING}::test_write_same_takes_as_many_blocks_as_the_block_limits_say",
        "maximum_atomic_transfer_length": "test_write_atomic.py::test_the_limit_is_announced_and_kept",
    },
    "VPD page B1h": {
        "medium_rotation_rate": LISTED,
        "wabereq": "test_sanitize.py::test_all_blocks_can_be_read_after_an_erase",
        "wacereq": "test_sanitize.py::test_all_blocks_can_be_read_after_an_erase",
    },
    "VPD page B2h": {
        "threshold_exponent": "test_log_sense.py::test_resources_are_told_in_the_threshold_sets_of_the_provisioning_page",
        "lbpu": f"{PROVISIONING}::test_whole_store_blocks_become_holes",
        "lbpws": f"{PROVISIONING}::test_zeros_deallocate",
        "lbpws10": f"{PROVISIONING}::test_the_short_form_writes_the_same",
        "lbprz": f"{PROVISIONING}::test_unmapped_blocks_read_as_zeros_and_no_others",
        "provisioning_type": f"{LBA_STATUS}::test_lba_status_tells_what_is_mapped",
    },
    "READ CAPACITY(16)": {
        "returned_logical_block_address": "test_unit_commands.py::test_read_capacity_16",
        "logical_block_length": f"{TRANSFER}::test_what_is_written_is_read",
        "logical_blocks_per_physical_block_exponent": f"{TRANSFER}::test_aligned_transfers_are_not_copied",
        "lbpme": f"{LBA_STATUS}::test_lba_status_tells_what_is_mapped",
        "lbprz": f"{PROVISIONING}::test_unmapped_blocks_read_as_zeros_and_no_others",
    },
    "mode parameter header": {
        "mode_data_length": "test_mode_sense.py::test_mode_sense_byte_for_byte",
        "dpofua": f"{TRANSFER}::test_fua_makes_a_write_durable_before_its_reply",
        "block_descriptor_length": "test_mode_sense.py::test_mode_sense_byte_for_byte",
    },
    "error recovery mode page": {"lbpere": f"{THRESHOLDS}::test_without_lbpere_nobody_is_notified"},
    "logical block provisioning mode page": {
        "threshold_descriptors": f"{THRESHOLDS}::test_crossings_of_a_threshold",
    },
    "caching mode page": {
        "wce": "test_mode_select.py::test_without_its_cache_every_write_is_durable_and_what_was_written_before_too"
    },
    "control extension mode page": {
        "tcmos": "test_timestamp.py::test_a_reset_of_the_target_returns_to_the_time_of_the_machine",
        "scsip": "test_timestamp.py::test_a_host_sets_the_timestamp",
    },
    "informational exceptions mode page": {"dexcpt": "test_log_sense.py::test_a_failed_pool_is_an_informational_exception"},
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": {
        "ats": f"{PLACES}::test_whatever_ends_the_task_takes_the_place_away",
        "atss": f"{PLACES}::test_whatever_ends_the_task_takes_the_place_away",
        "ctss": f"{PLACES}::test_whatever_ends_the_task_takes_the_place_away",
        "lurs": f"{PLACES}::test_whatever_ends_the_task_takes_the_place_away",
        "trs": f"{PLACES}::test_whatever_ends_the_task_takes_the_place_away",
    },
    "PERSISTENT RESERVE IN, REPORT CAPABILITIES": {
        "length": "test_persistent_reserve.py::test_what_this_device_server_can_do",
        "crh": "test_reserve_release.py::test_a_persistent_reservation_decides_about_reserve_and_release",
        "sip_c": "test_persistent_reserve.py::test_others_are_registered_with_the_sender",
        "atp_c": "test_persistent_reserve.py::test_all_target_ports_is_taken_where_it_means_something_and_ignored_elsewhere",
        "ptpl_c": "test_reservation_store.py",
        "tmv": "test_persistent_reserve.py::test_what_this_device_server_can_do",
        "allow_commands": RESERVING,
        "wr_ex": RESERVING,
        "ex_ac": RESERVING,
        "wr_ex_ro": RESERVING,
        "ex_ac_ro": RESERVING,
        "wr_ex_ar": RESERVING,
        "ex_ac_ar": RESERVING,
    },
}

ZEROS: dict[str, dict[str, str]] = {
    "control mode page": {
        # in these fields, zero promises something
        "queue_algorithm_modifier": f"{PLACES}::test_the_medium_ends_up_as_if_commands_had_run_one_after_the_other",
        "tst": f"{PLACES}::test_reads_of_any_nexus_wait_for_the_data_and_others_do_not",
        "qerr": f"{TASK_SET}::test_a_handler_that_refuses_after_waiting_leaves_the_set",
        "tas": "test_task_management.py::test_clear_task_set_tells_those_whose_tasks_it_ended",
        "ua_intlck_ctrl": "test_task_management.py::test_a_reset_is_told_once_to_every_nexus",
        "d_sense": "test_mode_select.py::test_sense_data_takes_the_other_format",
        "swp": "test_mode_select.py::test_software_write_protection",
    },
    "mode parameter header": {"wp": f"{TRANSFER}::test_a_write_protected_unit_refuses_writes"},
    "VPD page B0h": {
        "atomic_alignment": "test_write_atomic.py::test_blocks_are_written_in_one_operation",
        "unmap_granularity_alignment": f"{PROVISIONING}::test_whole_store_blocks_become_holes",
    },
}

BEYOND_SCSI = {
    "VPD page 83h": "scsi/test_inquiry.py::test_the_designators_name_unit_port_and_device",
    "VPD page 8Fh, block device ROD limits": "copymgr/test_limits.py::test_limits_at_their_edges",
    "VPD page 8Fh, inactivity timeouts": "copymgr/test_lifetimes.py::test_the_timeout_has_a_default_and_a_minimum",
    "VPD page 8Fh, lifetimes": "copymgr/test_lifetimes.py::test_however_often_it_is_used_a_token_has_a_last_day",
    "VPD page 8Fh, ROD types": "copymgr/test_lifetimes.py::test_the_type_asked_for_is_the_type_made",
    "log page 0Ch": "scsi/test_log_sense.py::test_resources_are_told_in_the_threshold_sets_of_the_provisioning_page",
    "log page 2Fh": "scsi/test_log_sense.py::test_a_failed_pool_is_an_informational_exception",
    "login keys InitialR2T, ImmediateData, FirstBurstLength, MaxBurstLength, MaxOutstandingR2T": (
        "iscsi/test_data_out.py::test_all_ways_to_send_a_write_deliver_its_data"
    ),
    "the order of writes, on the wire": "target/test_write_order.py::test_a_later_write_of_the_session_is_the_last_one",
    "GOOD and residual counts, of every command": (
        "target/test_expected_lengths.py::test_the_status_says_what_was_done_and_the_residual_how_much"
    ),
}


def page(page_code: int) -> Callable[[UnitUnderTest], bytes]:
    return lambda unit: data_of(unit.command(bytes((0x12, 1, page_code, 1, 0, 0))))[4:]


def command(cdb: str) -> Callable[[UnitUnderTest], bytes]:
    return lambda unit: data_of(unit.command(cdb))


def mode_page(page_code: int, subpage_code: int = 0) -> Callable[[UnitUnderTest], bytes]:
    header_bytes = 8 if subpage_code else 6
    return lambda unit: data_of(unit.command(bytes((0x1A, 8, page_code, subpage_code, 0xFF, 0))))[header_bytes:]


ANNOUNCEMENTS: dict[str, tuple[type[Layout], Callable[[UnitUnderTest], bytes]]] = {
    "INQUIRY": (inquiry.StandardInquiryData, command("12 00 00 00 ff 00")),
    "VPD page 86h": (vpd.ExtendedInquiryData, page(0x86)),
    "VPD page B0h": (vpd.BlockLimits, page(0xB0)),
    "VPD page B1h": (vpd.BlockDeviceCharacteristics, page(0xB1)),
    "VPD page B2h": (vpd.LogicalBlockProvisioning, page(0xB2)),
    "READ CAPACITY(16)": (capacity.ReadCapacity16Data, command("9e 10" + "00" * 11 + "20 00 00")),
    "mode parameter header": (mode_pages.ModeHeader6, command("1a 00 08 00 ff 00")),
    "error recovery mode page": (
        mode_pages.ReadWriteErrorRecoveryPage,
        mode_page(mode_pages.READ_WRITE_ERROR_RECOVERY),
    ),
    "caching mode page": (mode_pages.CachingPage, mode_page(mode_pages.CACHING)),
    "control mode page": (mode_pages.ControlPage, mode_page(mode_pages.CONTROL)),
    "control extension mode page": (
        mode_pages.ControlExtensionPage,
        mode_page(mode_pages.CONTROL, mode_pages.CONTROL_EXTENSION_SUBPAGE),
    ),
    "informational exceptions mode page": (
        mode_pages.InformationalExceptionsControlPage,
        mode_page(mode_pages.INFORMATIONAL_EXCEPTIONS_CONTROL),
    ),
    "logical block provisioning mode page": (
        LogicalBlockProvisioningPage,
        mode_page(mode_pages.INFORMATIONAL_EXCEPTIONS_CONTROL, mode_pages.LOGICAL_BLOCK_PROVISIONING_SUBPAGE),
    ),
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": (
        task_management_functions.TaskManagementFunctions,
        command("a3 0d 00 00 00 00 00 00 00 04 00 00"),
    ),
    "PERSISTENT RESERVE IN, REPORT CAPABILITIES": (
        persistent_reserve_in.Capabilities,
        command("5e 02 00 00 00 00 00 00 ff 00"),
    ),
}


def announced(layout: type[Layout], data: bytes) -> dict[str, Value]:
    values = layout.parse(data).values()
    return {name: value for name, value in values.items() if (any(value) if isinstance(value, bytes) else value)}


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("where", ANNOUNCEMENTS)
def test_every_field_that_is_announced_has_its_proof(where: str, block_bytes: int) -> None:
    layout, read = ANNOUNCEMENTS[where]
    found = announced(layout, read(UnitUnderTest(block_bytes)))
    proved = PROOFS.get(where, {}).keys()
    assert found.keys() <= proved
    if block_bytes == 512:
        assert found.keys() == proved, "what is not announced any more"


@pytest.mark.parametrize(("where", "field"), [(where, field) for where, rows in ZEROS.items() for field in rows])
def test_zeros_that_promise_something_are_announced(where: str, field: str) -> None:
    layout, read = ANNOUNCEMENTS[where]
    assert layout.parse(read(UnitUnderTest())).values()[field] == 0


def test_every_standard_page_is_looked_at() -> None:
    pages = {f"VPD page {code:02X}h" for code in vpd.all_pages(UnitUnderTest().logical_unit)}
    names = {"VPD page 00h", "VPD page 80h", "VPD page 83h"}
    assert pages - names == {where for where in ANNOUNCEMENTS if where.startswith("VPD")}
    assert {page.layout for page in mode_pages.PAGES.values()} == {
        layout for where, (layout, _) in ANNOUNCEMENTS.items() if where.endswith("mode page")
    }


def proofs() -> Iterator[str]:
    for table in (PROOFS, ZEROS):
        for rows in table.values():
            yield from (f"scsi/{proof}" for proof in rows.values())
    yield from BEYOND_SCSI.values()


@pytest.mark.parametrize("proof", sorted(set(proofs())))
def test_every_proof_is_there(proof: str) -> None:
    path, _, name = proof.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names if name else any(each.startswith("test_") for each in names)


def test_commands_take_exactly_the_bits_that_they_are_said_to_take() -> None:
    """REPORT SUPPORTED OPERATION CODES shows which bits of a CDB are used. Every command refuses all other bits."""
    unit = UnitUnderTest()
    for row in unit.server.commands.rows():
        entry = unit.server.commands.find(bytes((row.operation_code, row.service_action or 0)))
        assert entry.row is row
        for index, usage in enumerate(row.usage[1:], start=1):
            for bit in range(8):
                is_service_action = index == 1 and row.service_action is not None and bit < 5
                if usage >> bit & 1 or is_service_action:
                    continue
                cdb = bytearray(row.cdb_bytes)
                cdb[0] = row.operation_code
                cdb[1] |= row.service_action or 0
                cdb[index] |= 1 << bit
                with pytest.raises(CheckCondition) as caught:
                    entry.check(bytes(cdb))
                assert (caught.value.condition, caught.value.cdb_field, caught.value.bit) == (INVALID_FIELD_IN_CDB, index, bit)


def test_a_command_that_is_not_listed_is_not_there() -> None:
    unit = UnitUnderTest()
    listed = {row.operation_code for row in unit.server.commands.rows()}
    for operation_code in set(range(256)) - listed:
        assert code_of(unit.command(bytes((operation_code,)))) == (5, 0x20, 0)
