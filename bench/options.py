"""Options of the command line that several benches have."""

import argparse
import math
import re

from bench.copy_pages import JSON as COPIES
from bench.rounds import Plan

MIB = 1 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the number and the length of windows, and for the size of the LUN."""
    parser.add_argument("--rounds", type=count, default=Plan.rounds)
    parser.add_argument("--seconds", type=duration_s, default=Plan.seconds, help="shortest window of a cell")
    parser.add_argument("--working-set", type=count, metavar="MIB", default=Plan.working_set_bytes // MIB)


def count(text: str) -> int:
    """Read a number that is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def duration_s(text: str) -> float:
    """Read a number of seconds that is more than 0."""
    seconds = float(text)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds


def run_name(text: str) -> str:
    """Read the name of a run, which is a part of the names of its files."""
    if not NAME.fullmatch(text) or f"{text}.json" == COPIES:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be the name of a run")
    return text
