"""The hostile answers after which a program without a timeout was seen to wait."""

from odx_target.target.faults.evil import EVIL
from tests.interop.faults.meeting import programs_that_meet

WITHOUT_ANSWER = {
    "length-of-16-MiB",
    "additional-headers",
    "data-in-of-another-task",
    "response-of-another-task",
    "window-shut",
    "endless-login-text",
    "unknown-reject",
    "more-data-than-asked",
    "less-data-than-said",
}
WAITING = {(evil, program) for evil in EVIL for program in programs_that_meet(evil) if program != "libiscsi, 1 s"}
