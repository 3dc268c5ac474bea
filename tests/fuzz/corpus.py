"""The corpus: interesting scripts in `fixtures/fuzz`, one JSON file for each surface, one script in each line."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.surface import Script

CORPUS = Path(__file__).parents[2] / "fixtures" / "fuzz"
MAX_SCRIPT_BYTES = 2000
"""Longest script, as JSON, that the corpus keeps. Longer scripts rarely show anything that shorter scripts do not show."""


def read_corpus(surface: str, folder: Path = CORPUS) -> list[Script]:
    """Return the scripts of a surface."""
    path = _path(surface, folder)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def write_corpus(surface: str, scripts: Iterable[Script], folder: Path = CORPUS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = sorted({encoded(script) for script in scripts}, key=lambda line: (len(line), line))
    _path(surface, folder).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def encoded(script: Script) -> str:
    """Return a script as one line of ASCII."""
    return json.dumps(script, separators=(",", ":"))


def _path(surface: str, folder: Path) -> Path:
    return folder / f"{surface.replace(' ', '_')}.jsonl"
