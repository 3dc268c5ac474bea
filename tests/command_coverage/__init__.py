"""The outcomes of each command, each with a test that shows it, for docs/coverage.md.

`make coverage` runs the tests, notes the outcomes (`recorder`), and writes them to `outcomes.tsv` and to the page. Every later
run of a test compares its outcomes with this file. So a test fails if a command ends in a way that the page does not list, or
if the test no longer shows the outcome for which the page names it.
"""
