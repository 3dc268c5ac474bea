"""A command that a host sent to the array, as a test sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from odx_target.scsi.reply import Status
from odx_target.scsi.sense import UNNAMED, SenseKey, sense_words


@dataclass(frozen=True, slots=True)
class SeenSense:
    """Sense data: the sense key, and the additional sense code with its qualifier."""

    key: str
    """Name of the sense key, such as `ILLEGAL REQUEST`."""
    code: tuple[int, int]
    name: str
    """Name of the additional sense code, such as `INVALID TOKEN OPERATION, TOKEN EXPIRED`. Empty if the name is not known."""
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        code = f"{self.code[0]:02X}h/{self.code[1]:02X}h"
        return f"{self.key}, {self.name} ({code})" if self.name else f"{self.key}, {code}"


@dataclass(slots=True, eq=False)
class SeenCommand:
    """A command, and its end. The fields about the end are None or empty until the array has sent the status.

    `number` counts the commands of the array from 0 on. `operation` is the standard's name of the command. `fields` are the
    fields of the CDB by their names in the standard, in lower case with underscores. Times are seconds since 1970 in the time
    of the array.
    """

    number: int
    operation: str
    lun: int
    initiator: str
    target: str
    peer: str
    cdb: bytes
    fields: Mapping[str, int | bytes]
    expected_bytes: int
    """EXPECTED DATA TRANSFER LENGTH of the SCSI Command PDU."""
    started_s: float
    ended_s: float | None = None
    status: str | None = None
    """Name of the status, such as `CHECK CONDITION`."""
    sense: SeenSense | None = None
    residual_bytes: int = 0
    """RESIDUAL COUNT: positive if less data than expected was transferred, negative if there was more data than expected."""
    parameter_list: bytes = b""
    """The parameter list, without the data of writes."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """The fields of the parameter list of a token command or an UNMAP. `ranges` is a list of pairs of LBA and block count."""
    parameter_data: bytes = b""
    """The data-in of commands that report something, without the data of reads."""

    @property
    def is_good(self) -> bool:
        """True if the command has ended with the status GOOD."""
        return self.status == "GOOD"

    @property
    def ranges(self) -> Sequence[tuple[int, int]]:
        """The ranges in the parameter list, as pairs of LBA and block count."""
        found = self.parameters.get("ranges", ())
        assert isinstance(found, list | tuple)
        return found

    def __str__(self) -> str:
        end = "has not ended" if self.status is None else self.status if self.sense is None else f"{self.status}: {self.sense}"
        return f"{self.operation} to LUN {self.lun} by {self.initiator}: {end}"


def status_name(status: int) -> str:
    """Return the name of a status in SAM-5, or its number if it has no name."""
    try:
        return Status(status).name.replace("_", " ")
    except ValueError:
        return f"status {status:02X}h"


def read_sense(data: bytes) -> SeenSense | None:
    """Read sense data in fixed or descriptor format (SPC-4 4.5). Return None if it is too short or has another format."""
    response_code = data[0] & 0x7F if data else 0
    if response_code in (0x70, 0x71) and len(data) >= 14:
        key, code = data[2] & 0x0F, (data[12], data[13])
    elif response_code in (0x72, 0x73) and len(data) >= 4:
        key, code = data[1] & 0x0F, (data[2], data[3])
    else:
        return None
    name = SenseKey(key).name.replace("_", " ") if key in set(SenseKey) else f"sense key {key:X}h"
    words = sense_words(*code)
    return SeenSense(name, code, "" if words == UNNAMED else words.upper(), data)
