"""Rules without an array: their words, errors, moments, counts and scenarios."""

import random
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.config.error import ConfigError
from odx_target.target.faults.names import COMMANDS, SENSE
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.reading import words_of
from odx_target.target.faults.rules import MAX_RULES, FaultRules, rule_data
from odx_target.target.faults.words.table import WORDS
from odx_target.target.faults.words.what import FAULTS
from odx_target.target.faults.words.word import Kind

WRITE_USING_TOKEN = (0x83, 0x11)
READ = (0x88, None)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def rules(clock: Callable[[], float] | None = None, seed: int = 0) -> FaultRules:
    return FaultRules(trio.Event, seed, clock or Clock())


def command(code: tuple[int, int | None] = READ, **facts: object) -> Occurrence:
    return Occurrence(Point.COMMAND, command=code, **facts)  # type: ignore[arg-type]


def hits(found: FaultRules, seen: Occurrence, times: int) -> list[int]:
    """Return the numbers, from 1, of the occurrences at which any rule fires."""
    return [number for number in range(1, times + 1) if found.hits(seen)]


def test_the_rule_of_six_words() -> None:
    found = rules()
    text = "command=write-using-token first=2 sense=token-expired"
    assert len(text.split()) <= 6
    rule = found.add(text)
    assert found.hits(command(READ)) == []
    assert hits(found, command(WRITE_USING_TOKEN), 5) == [1, 2]
    assert (rule.hits, rule.passed) == (2, 3)


def test_the_same_rule_in_every_notation() -> None:
    found = rules()
    notations = (
        found.add("command=write-using-token first=2 sense=token-expired"),
        found.add({"command": "WRITE USING TOKEN", "first": 2, "sense": "TOKEN EXPIRED"}),
        found.add(command="WRITE USING TOKEN", first=2, sense="TOKEN_EXPIRED"),
        found.add({"command": ["83h/11h"], "first": "2", "sense": "5/23/07"}),
    )
    assert len({(rule.point, tuple(sorted(rule.values.items(), key=str))) for rule in notations}) == 1
    assert [rule.name for rule in notations] == ["fault-1", "fault-2", "fault-3", "fault-4"]


@pytest.mark.parametrize("word", WORDS.values(), ids=lambda word: word.key)
def test_the_example_of_each_word_is_valid(word: object) -> None:
    assert word is WORDS[word.key]  # type: ignore[attr-defined]
    for point in word.points:  # type: ignore[attr-defined]
        companion = next(each for each in FAULTS if each.points >= {point} and each is not word)
        where = {Point.COPY: "copy=10%", Point.PDU: "pdu=any", Point.LOGIN: "login=any", Point.STORE: "store=any"}.get(
            point, ""
        )
        text = f"{word.key}={word.example}" if word.example else word.key  # type: ignore[attr-defined]
        others = [where] if where and not where.startswith(word.key) else []  # type: ignore[attr-defined]
        fault = f"{companion.key}={companion.example}" if companion.example else companion.key
        rule = rules().add(words_of([*others, text, fault]))
        assert rule.point is point
        assert rules().add(rule.text).values == rule.values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("comand=read sense=token-expired", "did you mean command?"),
        ("command=raed status=busy", "did you mean read"),
        ("command=read sense=token-expird", "did you mean token-expired?"),
        ("command=read status=bussy", "did you mean busy?"),
        ("pdu=scsi-respnse drop", "did you mean scsi-response?"),
        ("login=any refuse=target-eror", "did you mean target-error?"),
        ("store=write errno=EIOO", "did you mean EIO?"),
        ("command=read first=2", "say what fails"),
        ("command=read first=0 status=busy", "first: want a number from 1"),
        ("command=read sense", "sense needs a value"),
        ("command=read sense=", "sense has no value"),
        ("command=read command=write status=busy", "given twice"),
        ("command=read Command=write status=busy", "command is given twice, as 'command' and 'Command'"),
        ("command=read next-state=a next_state=b status=busy", "next-state is given twice, as 'next-state' and 'next_state'"),
        ("evil=residual-lie EVIL=long-name", "evil is given twice, as 'evil' and 'EVIL'"),
        ("pdu=r2t sense=token-expired", "another"),
        ("store=write login=any delay=1s", "another"),
        ("store=write delay=1s", "writes of segments cannot be delayed"),
        ("store=write jitter=1s errno=EIO", "writes of segments cannot be delayed"),
        ("command=read delay=forever", "want a time"),
        ("command=read status=busy probability=101%", "percentage"),
        ("lba=9-3 status=busy", "ends before it begins"),
        ("command=read sense=5/2307", "there is no sense data"),
        ("command=read sense=medium-error/", "there is no sense data"),
        ("command=read sense=medium-eror/write-error", "there is no sense data"),
        ("command=read sense=medium-error/writ-error", "did you mean write-error?"),
        ("command=read sense=ack-nak-timeout", "needs a sense key before it, such as medium-error/ack-nak-timeout"),
        ("command=read name='a b' status=busy", "name:"),
        ("command=read 'status=busy", "quotation"),
        ("text={A*9999999} pdu=login-response", "at most"),
    ],
)
def test_a_wrong_word_gets_one_line_that_names_the_right_one(text: str, message: str) -> None:
    found = rules()
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")) as refused:
        found.add(text)
    assert "\n" not in str(refused.value)
    assert list(found) == []


@pytest.mark.parametrize("number", [1 << 64, -(1 << 64), 10**400, int("f" * 5000, 16)], ids=["64", "-64", "400", "5000"])
@pytest.mark.parametrize("word", [*WORDS, "name", "enabled", "evil"])
def test_a_number_that_no_word_can_have_gets_one_short_line(word: str, number: int) -> None:
    for value in (number, [number], {"lun": number}, [[number]]):
        message = refusal({word: value})
        assert message.startswith(f"fault: {word}: "), message
        assert "\n" not in message


def refusal(rule: str | dict[str, object]) -> str:
    """Return the message with which a rule is refused, or an empty text."""
    try:
        rules().add(rule)
    except ConfigError as error:
        return str(error)
    return ""


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_one_line(text: str) -> None:
    assert "\n" not in refusal(text)


@given(st.dictionaries(st.sampled_from(sorted(WORDS)), st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none())))
def test_any_values_are_a_rule_or_one_line(words: dict[str, object]) -> None:
    assert "\n" not in refusal(words)


def test_moments() -> None:
    for text, expected in {
        "nth=3": [3],
        "nth=2,5": [2, 5],
        "first=2": [1, 2],
        "every=3": [3, 6, 9],
        "times=1": [1],
        "every=2 times=2": [2, 4],
        "first=4 every=2": [2, 4],
    }.items():
        found = rules()
        rule = found.add(f"command=read status=busy {text}")
        assert hits(found, command(), 10) == expected, text
        assert (rule.hits, rule.passed) == (len(expected), 10 - len(expected))


def test_a_window_of_time_counts_from_the_addition() -> None:
    clock = Clock()
    clock.now_s = 100
    found = rules(clock)
    found.add("command=read after=5s until=10s first=1 status=busy")
    seen = []
    for second in range(100, 120):
        clock.now_s = second
        seen += [second] * len(found.hits(command()))
    assert seen == [105]


def test_the_same_seed_gives_the_same_chances() -> None:
    def run(seed: int) -> list[int]:
        found = rules(seed=seed)
        found.add("command=read probability=25% status=busy")
        return hits(found, command(), 1000)

    assert run(1) == run(1) != run(2)
    assert 200 < len(run(1)) < 300


def test_a_scenario_moves_from_state_to_state() -> None:
    found = rules()
    found.add("command=read state=started next-state=broken nth=2 status=busy")
    found.add("command=read state=broken next-state=mended first=3 sense=write-error")
    kinds = []
    for _ in range(8):
        kinds.append("+".join(next(iter(rule.faults())) for rule in found.hits(command())))
    assert kinds == ["", "status+sense", "", "", "", "", "", ""]
    assert found.states["main"] == "mended"
    found.clear()
    assert found.states == {}


def test_places() -> None:
    seen = command(READ, lun=3, volume="data", initiator="iqn.2026-11.example:win-1", target="iqn.x:array", isid="00023d000001")
    for text, expected in {
        "lun=3": True,
        "lun=data": True,
        "lun=4": False,
        "initiator=iqn.*:win-?": True,
        "initiator=IQN.2026-11.example:win-1": True,
        "initiator=*:linux": False,
        "target=*:array": True,
        "session=00023d000001": True,
        "session=00023d000002": False,
        "command=read": True,
        "command=read-16": True,
        "command=READ(10)": False,
        "command=write,read-16": True,
        "command=88h": True,
        "command=read lun=3 initiator=*:linux": False,
    }.items():
        found = rules()
        found.add(f"{text} status=busy")
        assert bool(found.hits(seen)) is expected, text


def test_names_of_families_and_service_actions() -> None:
    assert COMMANDS["read"] == {(0x08, None), (0x28, None), (0x88, None), (0xA8, None)}
    assert COMMANDS["persistent-reserve-out"] >= {(0x5F, 0x00), (0x5F, 0x05)}
    assert COMMANDS["sanitize"] == {(0x48, 1), (0x48, 2), (0x48, 3), (0x48, 0x1F)}
    assert COMMANDS["extended-copy"] == {(0x83, 0), (0x83, 1)}
    assert len(SENSE) > 80


def test_names_enabling_and_removal() -> None:
    found = rules()
    rule = found.add("command=read status=busy name=mine")
    with pytest.raises(ConfigError, match="already"):
        found.add("command=read status=busy", name="mine")
    assert found.hits(command()) == [rule]
    found.set_enabled("mine", False)
    assert found.hits(command()) == []
    found.set_enabled("mine", True)
    assert found.hits(command()) == [rule]
    assert rule_data(rule, found)["hits"] == 2
    with pytest.raises(ConfigError, match="did you mean mine"):
        found.remove("mien")
    found.remove("mine")
    assert found.hits(command()) == []
    assert found.add("command=read status=busy enabled=false").enabled is False


def test_there_is_a_limit_of_rules() -> None:
    found = rules()
    for _ in range(MAX_RULES):
        found.add({"command": "read", "status": "busy"})
    with pytest.raises(ConfigError, match=f"at most {MAX_RULES}"):
        found.add("command=read status=busy")


def test_changes_are_announced() -> None:
    found = rules()
    changes: list[int] = []
    found.on_change.append(lambda: changes.append(len(found.active(Point.COMMAND))))
    found.add("command=read status=busy name=a")
    found.set_enabled("a", False)
    found.set_enabled("a", True)
    found.remove("a")
    assert changes == [1, 0, 1, 0]


def test_a_pause_lies_within_its_jitter() -> None:
    found = rules()
    rule = found.add("command=read delay=1s jitter=500ms")
    pauses = [found.pause_s(rule) for _ in range(100)]
    assert all(1 <= pause <= 1.5 for pause in pauses)
    assert len(set(pauses)) > 50
    assert isinstance(rule.chance, random.Random)


def test_the_words_have_every_kind_and_unique_keys() -> None:
    assert {word.kind for word in WORDS.values()} == set(Kind)
    assert all((word.matches is not None) is (word.kind is Kind.WHERE) for word in WORDS.values())
