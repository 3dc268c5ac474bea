"""The share of the fuzzing that is part of `make test`: the corpus, and a bounded number of new scripts with a fixed seed."""

from random import Random

import pytest

from odx_target.iscsi.pdu.text import encode_pairs
from tests.fuzz.corpus import read_corpus
from tests.fuzz.search import Search
from tests.fuzz.surface import Script, Surface
from tests.fuzz.surfaces import SURFACE_BY_NAME, SURFACES

SEED = 20261130
EXECUTIONS = {
    "array": 150,
    "chap logins": 60,
    "control socket": 40,
    "management": 40,
    "texts": 2500,
    "target answers": 700,
    "target data": 4000,
    "store formats": 3000,
}
"""Number of new scripts of each surface. Together they take at most a minute."""


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_no_rule_is_broken(surface: Surface) -> None:
    search = Search(surface, Random(SEED), read_corpus(surface.name))
    search.replay_corpus()
    before = len(search.outcomes)
    for _ in range(EXECUTIONS[surface.name]):
        search.step()
    assert not search.findings, list(search.findings.values())
    assert search.outcomes, "the scripts reach nothing"
    assert before, "the corpus reaches nothing"


def test_a_target_name_that_is_no_name_is_refused() -> None:
    """It is no finding: the initiator may refuse the names of a hostile target."""
    name = encode_pairs([("TargetName", "../../etc")]).hex()
    script: Script = [
        ["begin", "plain", True],
        ["agree", [], {}],
        ["agree", [], {}],
        ["text", 0, 0],
        ["answer", "TextResponse", {}, name],
    ]
    assert any(outcome.startswith("refused by _check:") for outcome in SURFACE_BY_NAME["target answers"].run(script))
