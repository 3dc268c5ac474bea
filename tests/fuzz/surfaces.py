"""The table of all surfaces."""

from tests.fuzz.array import grammar
from tests.fuzz.array.attack_run import run_all
from tests.fuzz.chap import chap_attack, chap_grammar
from tests.fuzz.control import framing
from tests.fuzz.initiator import answer_grammar, answers_data, target_answers
from tests.fuzz.store import formats
from tests.fuzz.surface import Surface
from tests.fuzz.text import configuration, management

_TEXT_PACKAGES = ("target/config", "cli/configuration/importing", "scsi/describe", "cli/text/describe_pdu", "initiator/url")

SURFACES: tuple[Surface, ...] = (
    Surface(
        "array",
        grammar.new_step,
        grammar.new_script,
        lambda script: run_all([script]),
        ("iscsi/session", "iscsi/login", "iscsi/pdu", "iscsi/negotiation", "scsi", "copymgr", "target/server"),
        weight=6,
    ),
    Surface(
        "chap logins",
        chap_grammar.new_step,
        chap_grammar.new_script,
        chap_attack.run,
        ("iscsi/login", "iscsi/negotiation", "iscsi/pdu/binary_value", "iscsi/pdu/text"),
        weight=6,
    ),
    Surface("control socket", framing.new_step, framing.new_script, framing.run, ("target/control/server",), weight=2),
    Surface("management", management.new_step, management.new_script, management.run, ("target/control", "target/schedules")),
    Surface("texts", configuration.new_step, configuration.new_script, configuration.run, _TEXT_PACKAGES, weight=20),
    Surface(
        "target answers",
        answer_grammar.new_step,
        answer_grammar.new_script,
        target_answers.run,
        ("initiator/session", "iscsi/negotiation", "iscsi/pdu"),
        weight=20,
    ),
    Surface(
        "target data",
        answers_data.new_step,
        answers_data.new_script,
        answers_data.run,
        ("initiator/inquiry", "initiator/sense", "initiator/copying/copy_limits", "initiator/copying/token_commands"),
        weight=5,
    ),
    Surface(
        "store formats", formats.new_step, formats.new_script, formats.run, ("store/log", "store/opening/format_head"), weight=5
    ),
)
SURFACE_BY_NAME = {surface.name: surface for surface in SURFACES}
