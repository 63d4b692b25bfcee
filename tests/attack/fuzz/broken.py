"""A child that hangs or dies at case 1, as $PATH says: what the parent's own test runs."""

import json
import os
import sys
import time


def main(first: int, end: int) -> None:
    """Says what a child says."""
    for number in range(first, end):
        print(json.dumps({"begins": number}), flush=True)
        if number == 1 and os.environ["PATH"].startswith("hang"):
            time.sleep(60)
        elif number == 1:
            os.abort()
        print(json.dumps({"ends": number, "wrong": None, "kb": 0}), flush=True)
    print(json.dumps({"done": True}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[3]), int(sys.argv[4]))
