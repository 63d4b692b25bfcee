"""scripts/demo and what the set-up installs, without installing anything."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUB = """
ROOT={root} VENV={root}/.venv
say() {{ printf '%s\\n' "$*" >&2; }}
setup_environment() {{ :; }}
"""


def test_the_demo_ends_with_the_one_line_that_opens_the_studio(tmp_path: Path):
    """A line that runs as it stands, in the checkout and elsewhere; none without a studio."""
    scripts, programs = tmp_path / "scripts", tmp_path / ".venv" / "bin"
    scripts.mkdir()
    programs.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "demo", scripts)
    (scripts / "_setup.sh").write_text(STUB.format(root=tmp_path))
    (programs / "visavis").write_text('#!/bin/sh\necho "got $1"\n')
    (programs / "visavis").chmod(0o755)

    def said(folder: Path) -> str:
        done = subprocess.run(
            [scripts / "demo"], cwd=folder, capture_output=True, text=True, check=True
        )
        assert done.stdout == "got demo\n"
        return done.stderr

    for folder in (tmp_path, Path("/")):
        command = said(folder).splitlines()[-1].partition(": ")[2]
        opened = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert opened.stdout == "got app\n"
    (tmp_path / ".venv" / ".visavis-no-app").touch()
    assert said(tmp_path) == ""


def test_the_set_up_takes_the_studio_and_does_without_it(tmp_path: Path):
    """By scripts/_setup.sh's own function, where its packages can be had and where they cannot."""
    code = f"""
        source {ROOT}/scripts/_setup.sh
        VENV={tmp_path} SETUP_LOG={tmp_path}/log EXTRAS=s3
        install_packages() {{ echo "takes $EXTRAS"; [[ $WORKS == 1 ]]; }}
        optional app studio "No studio"
    """
    for works, told in (("1", False), ("0", True)):
        done = subprocess.run(
            ["bash", "-c", code],
            env={**os.environ, "WORKS": works},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "takes s3,app" in (tmp_path / "log").read_text()
        assert ("No studio (VISAVIS_EXTRAS=app tries again)." in done.stderr) == told
        assert (tmp_path / ".visavis-no-app").exists() == told
    setup = (ROOT / "scripts" / "_setup.sh").read_text()
    assert 'optional app "studio"' in setup.partition("\nsetup_environment() {")[2]
