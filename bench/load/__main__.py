"""`python -m bench.load URL SHAPE [--count COUNT | --seconds SECONDS]`: runs a load, and prints its result as JSON."""

import argparse
import json
import sys
from dataclasses import asdict

from bench.load.login import LoadFailed
from bench.load.run import run_load
from bench.load.shape import Shape

from odx_target.initiator.errors import InitiatorError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("shape", type=Shape.from_json, help='a load as JSON, such as {"size_bytes": 4096, "depth": 1}')
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    words = parser.parse_args()
    try:
        print(json.dumps(asdict(run_load(words.url, words.shape, count=words.count, duration_s=words.seconds))))
    except (LoadFailed, InitiatorError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
