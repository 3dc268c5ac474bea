"""The fuzzer itself: it finds planted faults, shortens them, repeats them, and is guided by lines and outcomes."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.corpus import read_corpus, write_corpus
from tests.fuzz.line_coverage import LineCoverage, count_all_lines
from tests.fuzz.minimise import minimised
from tests.fuzz.mutation import mutated
from tests.fuzz.search import Search, rule_of, search_all, stopped_after
from tests.fuzz.shrink import shrunk
from tests.fuzz.surface import Finding, Script, Surface
from tests.fuzz.surfaces import SURFACES


def run_planted(script: Script) -> set[str]:
    """A program with a fault behind three conditions, each of which is an outcome of its own."""
    outcomes: set[str] = set()
    for step in script:
        value = step[1] if len(step) > 1 and isinstance(step[1], int) else 0
        if value % 4 == 1 and len(script) > 1:
            outcomes.add("first")
            if value % 8 == 5:
                outcomes.add("second")
                if value % 64 == 13:
                    raise Finding("the planted fault", str(value))
    return outcomes


PLANTED = Surface(
    "planted",
    lambda random: ["step", random.randrange(1 << 16)],
    lambda random: [["step", random.randrange(1 << 16)] for _ in range(2)],
    run_planted,
    ("iscsi/pdu",),
)


def test_a_planted_fault_is_found_shortened_written_and_repeated(tmp_path: Path) -> None:
    search = Search(PLANTED, Random(1), [])
    left = 5000

    def is_over() -> bool:
        nonlocal left
        left -= 1
        return left < 0 or bool(search.findings)

    (found,) = search_all([search], is_over)
    assert found.rule == "the planted fault"
    assert len(found.script) == 2
    assert min(step[1] if len(step) > 1 else 0 for step in found.script) == 0
    document = json.loads(found.write(tmp_path).read_text())
    with pytest.raises(Finding, match="the planted fault"):
        run_planted(document["script"])


def test_the_same_seed_makes_the_same_scripts() -> None:
    def corpus_after(seed: int) -> list[Script]:
        search = Search(PLANTED, Random(seed), [])
        for _ in range(200):
            search.step()
        return search.corpus

    assert corpus_after(1) == corpus_after(1)
    assert corpus_after(1) != corpus_after(2)


def test_scripts_with_new_outcomes_are_kept_and_others_are_not() -> None:
    search = Search(PLANTED, Random(0), [[["step", 1], ["step", 1]]])
    search.replay_corpus()
    assert search.outcomes == {"first"}
    assert not search._attempt([["step", 1], ["step", 9]])
    assert search._attempt([["step", 5], ["step", 0]])


def test_lines_are_noted_once() -> None:
    surface = next(each for each in SURFACES if each.name == "target data")
    coverage = LineCoverage(surface.packages)
    script: Script = [["capacity 16", "00" * 32]]
    with coverage:
        surface.run(script)
    first = coverage.take()
    assert any(line.startswith("initiator/inquiry.py:") for line in first)
    with coverage:
        surface.run(script)
    assert coverage.take() == set()
    assert len(first) == coverage.count_lines < count_all_lines(surface.packages)


def test_a_minimised_corpus_reaches_the_same() -> None:
    scripts: list[Script] = [[["step", 5], ["step", 0]], [["step", 1], ["step", 0]], [["step", 77], ["step", 5], ["step", 9]]]
    kept = minimised(PLANTED, scripts)
    assert set().union(*map(run_planted, kept)) == {"first", "second"}
    assert len(kept) < len(scripts)


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path) -> None:
    scripts: list[Script] = [[["b", "\ud800", {"a": [1, True, None]}]], [["a"]]]
    write_corpus("some surface", scripts, tmp_path)
    assert read_corpus("some surface", tmp_path) == [[["a"]], scripts[0]]
    assert read_corpus("another", tmp_path) == []


def test_a_script_that_does_not_end_is_stopped() -> None:
    def never_end() -> None:
        while True:
            pass

    with stopped_after(0.01), pytest.raises(Finding, match="does not end"):
        never_end()


def test_errors_at_the_same_place_are_one_finding() -> None:
    def error_of(value: object) -> Exception:
        from odx_target.iscsi.pdu.headers import decode_header

        try:
            decode_header(value)  # type: ignore[arg-type]
        except Exception as error:
            return error
        raise AssertionError

    assert rule_of(error_of(b"1")) == rule_of(error_of(b"22")) != rule_of(error_of(3))


def test_shortening_keeps_what_is_shown() -> None:
    script: Script = [["a", "0011223344"], ["b", [1, 2, 300]], ["c", {"x": 7, "y": "text"}]]
    short = shrunk(script, lambda each: any(step[0] == "b" and len(step) > 1 and 300 in step[1] for step in each))
    assert short == [["b", [300]]]


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_mutated_scripts_are_json_and_do_not_change_their_origin(surface: Surface) -> None:
    random = Random(3)
    script = surface.new_script(random)
    before = json.dumps(script)
    for _ in range(200):
        changed = mutated(random, script, surface, [script])
        assert json.loads(json.dumps(changed)) == changed
    assert json.dumps(script) == before
