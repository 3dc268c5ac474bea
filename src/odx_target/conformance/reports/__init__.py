"""Reports of the results of checks: text, JUnit XML and JSON."""
