"""Make many videos from a manifest: the command `visavis batch` as a script.

.venv/bin/python scripts/render_batch.py manifest.jsonl --out DIR [--workers 2] [--dry-run]
"""

import sys

from app.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(["batch", *sys.argv[1:]]))
