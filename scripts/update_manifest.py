#!/usr/bin/env python3
"""Write the sha256 and size of the embedded weights files into weights/manifest.toml.

Run it after training, from anywhere: `.venv/bin/python scripts/update_manifest.py`. Only those two
lines of each role change; comments stay. Roles whose file does not exist are left and named.
`--check` writes nothing and exits with 1 when a line would change.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

from weights import Manifest, load_manifest
from weights.manifest import MANIFEST_PATH


def updated(text: str, manifest: Manifest) -> tuple[str, list[str]]:
    """The manifest's text with the hashes of the files as they are now, and one line per role."""
    notes = []
    for role in manifest.roles.values():
        if not role.embedded:
            continue
        path = manifest.root / role.file
        if not path.is_file():
            notes.append(f"{role.name}: {role.file} does not exist, left as it is")
            continue
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if (sha256, len(data)) == (role.sha256, role.size):
            continue
        text = _with_value(text, role.name, "sha256", f'"{sha256}"')
        text = _with_value(text, role.name, "size", str(len(data)))
        notes.append(f"{role.name}: {len(data)} bytes, sha256 {sha256}")
    return text, notes


def _with_value(text: str, table: str, key: str, value: str) -> str:
    """`text` with `key` of one TOML table set to `value`; the key must be there already."""
    pattern = rf"(^\[{re.escape(table)}\]\n(?:(?!\[).*\n)*?{key} = ).*$"
    new, count = re.subn(pattern, rf"\g<1>{value}", text, count=1, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"update_manifest: no line `{key} = ...` below [{table}]")
    return new


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument("--manifest", type=Path, default=MANIFEST_PATH)
    options = parser.parse_args()
    old = options.manifest.read_text(encoding="utf-8")
    new, notes = updated(old, load_manifest(options.manifest))
    for note in notes:
        print(note)
    if new != old and not options.check:
        options.manifest.write_text(new, encoding="utf-8")
    return 1 if options.check and new != old else 0


if __name__ == "__main__":
    sys.exit(main())
