"""Windows' interpretation of the answer to RECEIVE ROD TOKEN INFORMATION. If the operation is still in progress, it counts as
failed, because Windows does not ask again.
"""

from dataclasses import dataclass, replace

from odx_target.initiator.cdb import POPULATE_TOKEN, WRITE_USING_TOKEN
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.sense_table import read_sense_data
from odx_target.initiator.windows.session.port import Completion

HEADER_BYTES = 32
BLOCKS = 0xF1
TOKEN_BYTES = 512
TOKEN_DESCRIPTORS_LENGTH = 514
COMPLETED, COMPLETED_PARTIALLY = 0x01, 0x03
COMPLETED_WITH_ERROR, TERMINATED = 0x02, 0x60


@dataclass(frozen=True, slots=True)
class Answer:
    """The meaning of an answer. If the answer breaks a rule of Windows, `rule` is this rule, and Windows does not accept the
    answer. If `rule` is None, the command has processed `count_blocks` blocks. `token` has the token after a successful
    POPULATE TOKEN.
    """

    count_blocks: int = 0
    token: bytes = b""
    status: NtStatus = NtStatus.UNSUCCESSFUL
    rule: Rule | None = None
    detail: str = ""
    foreign_units: bool = False
    foreign_action: bool = False


def read_answer(completion: Completion, asked_blocks: int, *, wants_token: bool) -> Answer:
    """Interpret the answer to RECEIVE ROD TOKEN INFORMATION about a command for `asked_blocks` blocks."""
    reading = completion.reading
    if reading.status is NtStatus.DATA_OVERRUN:
        return Answer(rule=Rule.INFORMATION_MISTAKEN, detail=completion.words, status=reading.status)
    if not reading.is_good:
        return Answer(rule=Rule.INFORMATION_FAILED, detail=completion.words, status=reading.status)
    reply = completion.data_in
    if len(reply) < HEADER_BYTES:
        return Answer(rule=Rule.ANSWER_TOO_SHORT, detail=f"{len(reply)} bytes")
    answer = _judge(reply, asked_blocks, POPULATE_TOKEN if wants_token else WRITE_USING_TOKEN)
    if answer.rule is not None or not wants_token:
        return answer
    return _with_token(answer, reply)


def _judge(reply: bytes, asked_blocks: int, action: int) -> Answer:
    """Return the meaning of the status and the transfer count in an answer."""
    status, count = reply[5] & 0x7F, int.from_bytes(reply[16:24], "big")
    if status in {COMPLETED_WITH_ERROR, TERMINATED}:
        sense = reply[HEADER_BYTES : HEADER_BYTES + min(reply[13], reply[14])]
        reading = read_sense_data(sense)
        nt_status = NtStatus.UNSUCCESSFUL if reading.sense is None or reading.is_good else reading.status
        words = f", {reading.sense}" if reading.sense is not None else ""
        return Answer(rule=Rule.OPERATION_FAILED, detail=f"status {status:02X}h{words}", status=nt_status)
    if status not in {COMPLETED, COMPLETED_PARTIALLY}:
        return Answer(rule=Rule.NOT_COMPLETE, detail=f"status {status:02X}h")
    if count > asked_blocks:
        return Answer(rule=Rule.COUNT_OVER_REQUEST, detail=f"{count} blocks, {asked_blocks} were asked")
    if not count:
        return Answer(rule=Rule.COUNT_ZERO)
    return Answer(count, status=NtStatus.SUCCESS, foreign_units=reply[15] != BLOCKS, foreign_action=reply[4] & 0x1F != action)


def _with_token(answer: Answer, reply: bytes) -> Answer:
    at = HEADER_BYTES + reply[13]
    length = int.from_bytes(reply[at : at + 4], "big")
    token = reply[at + 6 : at + 6 + TOKEN_BYTES]
    if length != TOKEN_DESCRIPTORS_LENGTH or len(token) != TOKEN_BYTES:
        return Answer(rule=Rule.TOKEN_DESCRIPTOR_LENGTH, detail=f"{length}, {len(reply)} bytes in all")
    return replace(answer, token=token)
