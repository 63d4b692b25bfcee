"""scripts/update_manifest.py changes two lines of a role and nothing else."""

import subprocess
import sys
from pathlib import Path

from tests.weights.conftest import sha256
from weights import find, load_manifest

SCRIPT = Path(__file__).parents[2] / "scripts" / "update_manifest.py"
MANIFEST = """# a comment that must stay
[other]
summary = "not made yet"
used_by = "tests"
file = "other.bin"
sha256 = "{zeros}"
size = 0
source = "here"
revision = "1"
licence = "CC0-1.0"

[sample]
summary = "made"  # and this one
used_by = "tests"
file = "sample.bin"
sha256 = "{sample}"
size = {size}
source = "here"
revision = "1"
licence = "CC0-1.0"
"""


def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, "--manifest", path, *options], capture_output=True, text=True
    )


def test_update(tmp_path: Path):
    path = tmp_path / "manifest.toml"
    zeros = "0" * 64
    path.write_text(MANIFEST.format(zeros=zeros, sample=zeros, size=0))
    (tmp_path / "sample.bin").write_bytes(b"weights")
    assert run(path, "--check").returncode == 1
    assert zeros in path.read_text()
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert "other: other.bin does not exist" in done.stdout
    assert path.read_text() == MANIFEST.format(zeros=zeros, sample=sha256(b"weights"), size=7)
    assert find("sample", load_manifest(path)) == tmp_path / "sample.bin"
    assert run(path, "--check").returncode == 0
