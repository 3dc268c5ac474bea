"""Published faults of iSCSI targets and initiators since 2016, and the tests that show that this program does not have them.

A row without a CVE number is a fault that was published without one, or whose number is not known. A test of another folder is
named with its file. Faults of parts that this program does not have are left out, such as DHCP clients and RDMA transports.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """A published fault. `tests` are names of tests in this folder, or `folder/file.py::test` for tests elsewhere."""

    identifiers: tuple[str, ...]
    product: str
    fault: str
    tests: tuple[str, ...]


ROWS: tuple[Row, ...] = (
    Row(
        ("CVE-2020-28374", "CVE-2021-3139"),
        "LIO, tcmu-runner",
        "EXTENDED COPY reads and writes any backing store of the target, not only LUNs of the initiator",
        (
            "test_extended_copy_reaches_only_luns_of_the_initiator",
            "target/access/test_access_matrix.py::test_each_extended_copy",
        ),
    ),
    Row(
        ("CVE-2024-8178",),
        "FreeBSD ctl",
        "READ BUFFER returns memory that was not initialised",
        ("test_read_buffer_returns_only_what_this_host_has_written",),
    ),
    Row(
        ("CVE-2024-42416",),
        "FreeBSD ctl",
        "REPORT SUPPORTED OPERATION CODES does not check the requested service action",
        ("test_service_actions_out_of_range",),
    ),
    Row(
        ("CVE-2024-43110",),
        "FreeBSD ctl",
        "REQUEST SENSE returns bytes beyond the sense data",
        ("test_request_sense_returns_nothing_but_sense_data",),
    ),
    Row(
        ("CVE-2024-45063",),
        "FreeBSD ctl",
        "WRITE BUFFER frees its buffer although another command uses it",
        ("test_write_buffer_in_pieces_and_aborted",),
    ),
    Row(
        ("CVE-2024-39281",),
        "FreeBSD ctl",
        "PERSISTENT RESERVE OUT allocates as much memory as the host says",
        ("test_a_huge_parameter_list_takes_no_memory",),
    ),
    Row(
        ("CVE-2021-28361",),
        "SPDK",
        "a PDU without data crashes the target if data is expected",
        ("test_no_data_where_data_is_expected",),
    ),
    Row(
        ("SPDK issue 3927",),
        "SPDK",
        "a PDU other than a Login Request crashes the target before the login",
        ("test_any_pdu_before_the_login",),
    ),
    Row(
        ("CVE-2024-45751",),
        "tgt",
        "CHAP challenges are the same after each start, so that a recorded login can be repeated",
        ("test_challenges_differ_after_each_start", "iscsi/test_chap.py::test_challenges_are_fresh"),
    ),
    Row(
        ("CVE-2026-63887",),
        "LIO",
        "the answers to many keys are written past the end of the buffer of the response",
        ("test_answers_to_many_keys",),
    ),
    Row(
        ("LIO, iscsit_handle_text_cmd, June 2026",),
        "LIO",
        "a Text Request with a data digest is read past its end, and a wrong digest frees its text twice",
        ("test_text_requests_with_right_and_wrong_digests",),
    ),
    Row(
        ("LIO, CHAP_R in base64, June 2026",),
        "LIO",
        "a long CHAP_R in base64 is decoded past the end of a buffer",
        (
            "test_long_chap_responses",
            "iscsi/test_chap.py::test_values_that_cannot_be_read_end_the_login",
            "iscsi/test_chap.py::test_a_response_of_another_length_is_a_failure",
        ),
    ),
    Row(
        ("LIO, Extended CDB AHS, April 2026",),
        "LIO",
        "an Extended CDB AHS of an invalid size is accepted",
        ("test_additional_headers_of_every_size",),
    ),
    Row(
        ("CVE-2026-23216", "CVE-2023-54184"),
        "LIO",
        "a connection is used after it was freed, if it ends while commands are under way",
        ("test_connections_that_end_while_commands_are_under_way",),
    ),
    Row(
        ("CVE-2026-53176",),
        "LIO, iSER",
        "a login that is shorter than its header gets a negative length",
        ("test_logins_that_end_within_the_header",),
    ),
    Row(
        ("CVE-2020-10699", "CVE-2021-27363", "CVE-2021-27364", "CVE-2026-44944"),
        "targetcli, Linux transport class, iscsiuio",
        "a control interface is open to every user of the machine",
        ("target/test_control_socket.py::test_only_its_owner_may_use_it_and_it_goes_with_the_server",),
    ),
    Row(
        ("CVE-2020-13867", "CVE-2020-14019"),
        "targetcli, rtslib",
        "saved configurations with secrets can be read by every user of the machine",
        ("target/test_private_file.py::test_only_the_owner_reads_it",),
    ),
    Row(
        ("CVE-2021-27365",),
        "Linux transport class",
        "texts of a session are longer than the page into which they are printed",
        ("test_long_texts_in_a_login",),
    ),
    Row(
        ("CVE-2020-1711",),
        "QEMU",
        "a target reports more blocks than were requested, and QEMU writes past the end of a buffer",
        ("test_more_data_than_requested", "initiator/test_connection.py::test_what_a_target_may_not_do"),
    ),
    Row(
        ("CVE-2020-11947", "OpenBSD iscsid, sense length"),
        "QEMU, OpenBSD",
        "sense data is copied by the length that the target states, or from a segment of one byte",
        ("test_sense_data_that_is_shorter_than_stated",),
    ),
    Row(
        ("CVE-2025-2295",),
        "EDK II",
        "an R2T whose offset and length overflow reads other memory of the initiator",
        ("test_r2t_whose_end_overflows", "initiator/test_connection.py::test_data_that_may_not_be_asked_for"),
    ),
    Row(
        ("CVE-2024-38805",),
        "EDK II",
        "the text of a redirection is scanned past the end of the Login Response",
        ("test_redirections_with_any_text",),
    ),
    Row(
        ("CVE-2021-38575",),
        "EDK II",
        "hexadecimal CHAP values that are too long, or have an odd length, are written past the end of a buffer",
        ("test_chap_values_of_a_target", "initiator/test_login.py::test_a_challenge_that_cannot_be_answered"),
    ),
    Row(
        ("CVE-2026-44943", "CVE-2026-18724"),
        "open-iscsi",
        "a discovered target name with newlines or slashes adds settings and files",
        ("test_discovered_names_that_are_no_names",),
    ),
    Row(
        ("open-iscsi, endless redirections, September 2026",),
        "open-iscsi",
        "a target redirects the initiator in a circle for ever",
        (
            "initiator/test_redirection.py::test_as_many_redirections_as_there_may_be",
            "initiator/test_redirection.py::test_a_failure_names_the_target_and_the_way_to_it",
        ),
    ),
    Row(
        ("open-iscsi, long answers to SendTargets, 2020",),
        "open-iscsi",
        "discovery of many targets overflows a buffer",
        ("test_discovery_of_many_targets", "initiator/test_login_rules.py::test_an_answer_without_end_is_given_up"),
    ),
)
