"""Results as JUnit XML, which CI servers read."""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from odx_target.conformance.check import Verdict
from odx_target.conformance.reports.text import failure_lines
from odx_target.conformance.runner import Result

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow. A target may send them in its texts."""


def junit_xml(results: Sequence[Result], name: str) -> str:
    """Return a document with one test suite. Checks that were skipped or not run are skipped test cases."""
    failures = sum(result.verdict is Verdict.FAIL for result in results)
    skipped = sum(result.verdict in {Verdict.SKIP, Verdict.NOT_RUN} for result in results)
    elapsed_s = sum(result.elapsed_s for result in results)
    counts = f'tests="{len(results)}" failures="{failures}" errors="0" skipped="{skipped}" time="{elapsed_s:.3f}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuite name={_attribute(name)} {counts}>"]
    for result in results:
        lines += _case(result)
    return "\n".join([*lines, "</testsuite>", ""])


def _case(result: Result) -> list[str]:
    check = result.check
    title = _attribute(f"{check.identifier}: {check.title} ({check.clause})")
    head = f'  <testcase classname={_attribute(check.area)} name={title} time="{result.elapsed_s:.3f}"'
    if result.verdict is Verdict.PASS:
        return [f"{head}/>"]
    reason = _attribute(result.reason)
    if result.verdict is Verdict.FAIL:
        body = f"    <failure message={reason}>{_text(chr(10).join(failure_lines(result)))}</failure>"
    else:
        body = f"    <skipped message={reason}/>"
    return [f"{head}>", body, "  </testcase>"]


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))
