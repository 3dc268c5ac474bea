"""The evil target: a catalogue of hostile answers, each a rule with a name, for tests of initiators.

The rule `evil=NAME` has the words of the row. Further words, such as `times=1`, are added to them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from odx_target.target.config.error import ConfigError
from odx_target.target.faults.names import nearest, plain


class Evil(NamedTuple):
    """A hostile answer: the words of its rule, its meaning, and the vulnerability that such an answer has used, if any."""

    words: Mapping[str, object]
    meaning: str
    vulnerability: str = ""


_DISCOVERY = "text-response"
_ADDRESS = "\\0TargetAddress=127.0.0.1:3260,1\\0"


def _name(text: str) -> dict[str, object]:
    return {"pdu": _DISCOVERY, "text": f"TargetName={text}{_ADDRESS}"}


EVIL: dict[str, Evil] = {
    "name-leaves-its-folder": Evil(
        _name("../../../../tmp/odx-evil"), "a discovered name that is a path out of the folder of names", "CVE-2026-44943"
    ),
    "name-with-lines": Evil(
        _name("iqn.2026-11.example:a\\nnode.startup = automatic"), "a discovered name with a line of a record", "CVE-2026-18724"
    ),
    "name-with-control-characters": Evil(
        _name("iqn.2026-11.example:\\x1b[2J\\r\\x07"), "a discovered name that controls a terminal", "CVE-2026-18724"
    ),
    "long-name": Evil(_name("iqn.2026-11.example:{a*7000}"), "a discovered name of 7,000 characters"),
    "many-targets": Evil(
        {"pdu": _DISCOVERY, "text": "{TargetName=iqn.2026-11.example:a\\0*250}"}, "250 targets without an address"
    ),
    "address-without-end": Evil(
        {"pdu": _DISCOVERY, "text": "TargetName=iqn.2026-11.example:a\\0TargetAddress=[{1*4000}"},
        "an address of 4,000 characters without its bracket",
    ),
    "text-without-key": Evil({"pdu": _DISCOVERY, "text": "{=*4000}"}, "a text of equals signs"),
    "text-without-zero": Evil({"pdu": _DISCOVERY, "text": "TargetName"}, "a key without value and without its zero byte"),
    "endless-text": Evil(
        {"pdu": _DISCOVERY, "set": {"final": 0, "continued": 1}}, "a list of targets that always announces one more part"
    ),
    "endless-login-text": Evil(
        {"pdu": "login-response", "set": {"transit": 0, "continued": 1}}, "a login that always announces one more part"
    ),
    "endless-redirection": Evil(
        {"login": "any", "redirect": "127.0.0.1:1", "refuse": "target-moved-temporarily"}, "a redirection of every login"
    ),
    "length-of-16-MiB": Evil(
        {"pdu": "scsi-response,data-in,text-response", "set": {"data_segment_length": 0xFFFFFF}},
        "a data segment that claims 16 MiB",
    ),
    "additional-headers": Evil(
        {"pdu": "scsi-response,data-in", "set": {"total_ahs_length": 255}}, "additional header segments that are not sent"
    ),
    "r2t-of-nothing": Evil({"pdu": "r2t", "set": {"desired_data_transfer_length": 0}}, "a request for no data"),
    "r2t-of-too-much": Evil(
        {"pdu": "r2t", "set": {"desired_data_transfer_length": 0xFFFFFF00}}, "a request for 4 GiB of a write"
    ),
    "r2t-beyond-the-end": Evil(
        {"pdu": "r2t", "set": {"buffer_offset": 0xFFFFFFFF}},
        "a request for data behind the write, whose end overflows",
        "CVE-2025-2295",
    ),
    "r2t-of-another-task": Evil({"pdu": "r2t", "set": {"initiator_task_tag": 0x7FFFFFFF}}, "a request for an unknown task"),
    "data-in-beyond-the-end": Evil(
        {"pdu": "data-in", "set": {"buffer_offset": 0x7FFFFFF0}}, "data far behind the buffer of a read"
    ),
    "data-in-of-another-task": Evil({"pdu": "data-in", "set": {"initiator_task_tag": 0x7FFFFFFF}}, "data of an unknown task"),
    "response-of-another-task": Evil(
        {"pdu": "scsi-response", "set": {"initiator_task_tag": 0x7FFFFFFF}}, "the end of an unknown task"
    ),
    "two-responses": Evil({"pdu": "scsi-response,data-in", "duplicate": 1}, "every task ends twice"),
    "more-data-than-asked": Evil(
        {"pdu": "data-in", "text": "{x*8192}"}, "8,192 bytes of data for every read of fewer bytes", "CVE-2020-1711"
    ),
    "less-data-than-said": Evil(
        {"pdu": "data-in", "text": "x"}, "a single byte of data for every read, and no residual count", "CVE-2020-1711"
    ),
    "residual-lie": Evil(
        {"pdu": "scsi-response,data-in", "set": {"underflow": 1, "residual_count": 0xFFFFFFFF}},
        "a residual count of more bytes than the command had",
    ),
    "both-residuals": Evil(
        {"pdu": "scsi-response,data-in", "set": {"underflow": 1, "overflow": 1, "residual_count": 1}},
        "an underflow and an overflow at the same time",
    ),
    "sense-of-one-byte": Evil(
        {"pdu": "scsi-response", "set": {"status": 2}, "text": "\\0"},
        "sense data that is shorter than its length field",
        "CVE-2020-11947",
    ),
    "sense-flood": Evil(
        {"pdu": "scsi-response", "set": {"status": 2}, "text": "\\xff\\xff{r*4000}"},
        "4,000 bytes of sense data that claim 65,535",
    ),
    "window-shut": Evil({"pdu": "any", "set": {"max_cmd_sn": 0}}, "a command window that stays shut"),
    "wrong-statsn": Evil({"pdu": "scsi-response", "set": {"stat_sn": 0xDEADBEEF}}, "a status number far away"),
    "unknown-reject": Evil({"pdu": "scsi-response", "corrupt": 0}, "an answer with an unknown operation code"),
}
"""Hostile answers by their names."""


def expanded(given: Mapping[str, object]) -> dict[str, object]:
    """Return the words of a rule, with those of the catalogue instead of the word `evil`. Raises ConfigError."""
    words = dict(given)
    chosen = words.pop("evil", None)
    if chosen is None:
        return words
    found = {plain(name): evil for name, evil in EVIL.items()}
    name = plain(str(chosen))
    if name not in found:
        raise ConfigError(f"fault: there is no evil {str(chosen)[:60]!r}; {nearest(name, found)}")
    return {**found[name].words, **words}
