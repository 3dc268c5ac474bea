"""The reports of results: text, JUnit XML and JSON."""

import json
from xml.etree import ElementTree

from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.exchange import Exchange
from odx_target.conformance.reports.json_document import document as json_document
from odx_target.conformance.reports.junit import junit_xml
from odx_target.conformance.reports.text import failure_lines, result_line, summary_line
from odx_target.conformance.runner import Result
from tests.conformance.test_runner import passing

CHECK = Check("token.write.zeros", "SBC-3 4.28", 'Zeros & "more" <here>', passing, Need.TOKEN_COPY)
EXCHANGE = Exchange("LUN 0: GOOD", {"CDB": bytes(range(40)), "sense": b"\x70"})
RESULTS = [
    Result(CHECK, Verdict.PASS, "", (), 0.25),
    Result(CHECK, Verdict.FAIL, 'a "name" with \x00 & <tags>', (EXCHANGE,), 1.5),
    Result(CHECK, Verdict.SKIP, "no tokens"),
    Result(CHECK, Verdict.NOT_RUN, "not asked for"),
]


def test_lines() -> None:
    lines = [result_line(result) for result in RESULTS]
    assert lines[0].split()[:2] == ["pass", "token.write.zeros"]
    assert lines[2].startswith("skip     token.write.zeros")
    assert lines[2].endswith("(SBC-3 4.28): no tokens")
    assert failure_lines(RESULTS[0]) == []
    rows = failure_lines(RESULTS[1])
    assert rows[0] == "    LUN 0: GOOD"
    assert bytes.fromhex("".join(row[16:] for row in rows[1:3])) == bytes(range(40))
    assert rows[3].split() == ["sense", "70"]
    assert summary_line(RESULTS) == "1 pass, 1 fail, 1 skip, 1 not run"


def test_junit() -> None:
    suite = ElementTree.fromstring(junit_xml(RESULTS, "iscsi://host/iqn.a/0 & more"))
    assert suite.attrib == {
        "name": "iscsi://host/iqn.a/0 & more",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
        "time": "1.750",
    }
    cases = list(suite)
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["skipped"], ["skipped"]]
    assert cases[0].attrib["classname"] == "token"
    assert cases[0].attrib["name"] == 'token.write.zeros: Zeros & "more" <here> (SBC-3 4.28)'
    assert cases[1][0].attrib["message"] == 'a "name" with ? & <tags>'
    assert "00 01 02" in (cases[1][0].text or "")


def test_json() -> None:
    document = json.loads(json.dumps(json_document(RESULTS, "iscsi://host/iqn.a/0")))
    assert document["target"] == "iscsi://host/iqn.a/0"
    assert document["counts"] == {"pass": 1, "fail": 1, "skip": 1, "not run": 1}
    assert [row["verdict"] for row in document["results"]] == ["pass", "fail", "skip", "not run"]
    assert document["results"][1]["exchanges"] == [
        {"title": "LUN 0: GOOD", "parts": {"CDB": bytes(range(40)).hex(), "sense": "70"}}
    ]
