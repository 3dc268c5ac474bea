"""The commands of a host, and their ends, as text in the form of `serve --trace`."""

import re
from collections.abc import Iterable

from odx_target.initiator.result import CommandResult, Status
from odx_target.target.trace.one_line import describe_sense_briefly, describe_status
from odx_target.target.trace.parameter_list_text import describe_answer, describe_command, describe_parameter_list

READS, WRITES = (0x28, 0x88), (0x2A, 0x8A)
TOKEN_OUT, TOKEN_IN = 0x83, 0x84
SHOWN_RANGES = 4
"""Maximum number of ranges that are shown for one command. All ranges are shown if all fields of the command are shown."""

# Fields that are left out, because other fields have the same information or their value never changes. They are shown together
# with the bytes.
_DETAILS = re.compile(
    r"(parameter_list_length|populate_token_data_length|write_using_token_data_length|block_device_range_descriptor_length"
    r"|available_data|response_to_service_action|operation_counter|estimated_status_update_delay"
    r"|extended_copy_completion_status|transfer_count_units|rod_token_descriptors_length|length_of_the_sense_data_field"
    r"|sense_data_length)="
)


def command_words(cdb: bytes, data: bytes, *, all_fields: bool = True) -> str:
    """Describe a command and the parameters that it sends."""
    is_shown = data and (cdb[0] == TOKEN_OUT or all_fields)
    sends = describe_parameter_list(cdb, data) if is_shown else []
    words = " ".join(_chosen(describe_command(cdb), all_fields))
    return f"{words} | sends {' '.join(_chosen(sends, all_fields))}" if sends else words


def end_words(cdb: bytes, result: CommandResult, *, all_fields: bool = True) -> str:
    """Describe the end of a command and the data that it returned."""
    parts = [describe_status(result.status)]
    if result.sense:
        parts.append(describe_sense_briefly(bytes(result.sense)))
    is_shown = cdb[0] == TOKEN_IN or all_fields
    if is_shown and len(result.data_in) and cdb[0] not in READS:
        residual = f" residual_count={result.residual_bytes}" if result.residual_bytes else ""
        parts.append(f"data={len(result.data_in)}{residual}")
        if result.status == Status.GOOD and (answers := describe_answer(cdb, bytes(result.data_in))):
            parts.append(f"answers {' '.join(_chosen(answers, all_fields))}")
    return " | ".join(parts)


def _chosen(words: Iterable[str], all_fields: bool) -> list[str]:
    if all_fields:
        return list(words)
    return [_fewer_ranges(word) for word in words if not _DETAILS.match(word)]


def _fewer_ranges(word: str) -> str:
    if not word.startswith("ranges=["):
        return word
    ranges = word[len("ranges=[") : -1].split(", ")
    if len(ranges) <= SHOWN_RANGES:
        return word
    return f"ranges=[{', '.join(ranges[:SHOWN_RANGES])}, and {len(ranges) - SHOWN_RANGES} more]"
