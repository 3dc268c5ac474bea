"""The commands of the pages in docs/performance that say where the time goes."""

import argparse
import shutil
import subprocess
from collections.abc import Callable, Sequence

from bench.clients import ClientFailed
from bench.pages import DOCUMENTS
from tests.interop.serving import DidNotServe


def print_or_write(
    words: list[str], description: str | None, programs: Sequence[str], page: Callable[[], str], file: str
) -> int:
    """Measure a page, and print it, or write it into a file if `words` are `--write`. Returns the exit status.

    `programs` are those that the measurement runs. Raises SystemExit if the words are wrong.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the page in docs/performance; use a quiet machine")
    options = parser.parse_args(words)
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        print(f"needed and not installed: {', '.join(missing)}")
        return 1
    try:
        text = page()
    except (ClientFailed, DidNotServe, OSError, subprocess.SubprocessError) as error:
        print(error)
        return 1
    if options.write:
        (DOCUMENTS / file).write_text(text)
    else:
        print(text, end="")
    return 0
