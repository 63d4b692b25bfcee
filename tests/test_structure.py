"""What holds for the project as a whole: light imports, honest packaging."""

import ast
import email
import importlib
import importlib.metadata
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import PACKAGES

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORT_LIMIT_S = 0.3
LONGEST_TEST_FILE = 500  # lines
HEAVY = {"av", "diffusers", "gradio", "insightface", "onnxruntime", "silero_vad"}
HEAVY |= {"pyarrow", "ray", "s3fs", "transformers"}
# Import names that differ from the name of what carries them.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "c2pa": "c2pa-python",
    "cv2": "opencv-python-headless",
    "silero_vad": "silero-vad",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}


def modules() -> list[str]:
    """Every module of the four packages."""
    found = []
    for package in PACKAGES:
        found.append(package)
        path = [str(ROOT / package)]
        found += [m.name for m in pkgutil.walk_packages(path, f"{package}.")]
    return [name for name in found if not name.endswith("__main__")]


def run_python(code: str, *arguments: str) -> str:
    """Standard output of a fresh interpreter at the top of the project."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# A process that has torch is forked for each package. What torch has left in memory is not looked
# through: that alone takes .09 s, whenever it happens.
IMPORT_TIME = """
import gc, importlib, json, os, sys, time
import numpy, torch, torch.nn.functional
gc.collect()
gc.freeze()
for package in sys.argv[1:]:
    if os.fork() == 0:
        start = time.process_time()
        module = importlib.import_module(package)
        for name in module.__all__:
            getattr(module, name)
        print(json.dumps({package: time.process_time() - start}), flush=True)
        os._exit(0)
    _, status = os.wait()
    assert status == 0, package
"""


@pytest.mark.slow
def test_import_of_all_public_names_is_fast_beyond_torch():
    """CPU time, up to three tries: a busy machine must not make it fail, a heavy import must."""
    slow = PACKAGES
    for _ in range(3):
        lines = run_python(IMPORT_TIME, *slow).splitlines()
        took = {name: seconds for line in lines for name, seconds in json.loads(line).items()}
        assert list(took) == slow
        slow = [name for name, seconds in took.items() if seconds >= IMPORT_LIMIT_S]
        if not slow:
            break
    assert slow == []


# Imports the modules one by one under an audit hook and reports, per module, what it did beyond
# defining things. torch, numpy and OpenCV come first: what they do at import is theirs (OpenCV
# sets LD_LIBRARY_PATH).
IMPORT_EFFECTS = """
import importlib, json, os, sys, threading
import cv2, numpy, torch, torch.nn.functional

effects, now = {}, None
ACTS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chdir", "shutil.rmtree",
        "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"}

def note(what):
    effects.setdefault(now, []).append(what)

def hook(event, arguments):
    if now is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            note(f"opens {path!r} to write")
    elif event in ACTS:
        note(f"{event} {arguments!r}")

def surroundings():
    return {"environment": dict(os.environ), "threads": threading.active_count(),
            "threads of torch": torch.get_num_threads(), "dtype": str(torch.get_default_dtype()),
            "grad mode": torch.is_grad_enabled(), "current folder": os.getcwd()}

sys.addaudithook(hook)
for name in sys.argv[1:]:
    before = surroundings()
    loaded = set(sys.modules)
    now = name
    importlib.import_module(name)
    now = None
    after = surroundings()
    now = name
    for what, value in after.items():
        if value != before[what]:
            note(f"changes the {what}")
    heavy = sorted((set(sys.modules) - loaded) & set(json.loads(os.environ["HEAVY"])))
    if heavy:
        note(f"imports {heavy}")
    if torch.cuda.is_initialized():
        note("starts CUDA")
    now = None
print(json.dumps(effects))
"""


@pytest.mark.slow
def test_importing_does_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEAVY", json.dumps(sorted(HEAVY)))
    names = modules()
    assert set(PACKAGES) < set(names)
    printed = run_python(IMPORT_EFFECTS, *names)
    assert printed.count("\n") == 1, f"something is printed at import: {printed}"
    assert json.loads(printed) == {}


@pytest.mark.parametrize("name", modules())
def test_public_names(name: str):
    """Every name in `__all__` exists, once. Their order is ruff's to check (RUF022)."""
    module = importlib.import_module(name)
    if name in PACKAGES:
        assert hasattr(module, "__all__"), f"{name} does not say what is public"
    public = list(getattr(module, "__all__", []))
    assert len(public) == len(set(public))
    assert [n for n in public if not hasattr(module, n)] == []


def requirement_name(requirement: str) -> str:
    """`Foo_Bar[x]>=1; marker` -> `foo-bar`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_every_import_is_a_declared_dependency():
    """What comes along with something else today may not do so tomorrow."""
    project = PYPROJECT["project"]
    declared = {requirement_name(r) for r in project["dependencies"]}
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "dev":
            declared |= {requirement_name(r) for r in requirements}
    own = {*PACKAGES, *sys.stdlib_module_names}
    undeclared = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for name in sorted(imported(path) - own):
                if DISTRIBUTIONS.get(name, name.replace("_", "-").lower()) not in declared:
                    undeclared.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert undeclared == {}


def test_overrides_are_the_same_for_uv_pip():
    lines = (ROOT / "overrides.txt").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == PYPROJECT["tool"]["uv"]["override-dependencies"]


def test_constraints_pin_every_dependency():
    """Exact versions for all that is installed here, CPU and CUDA torch alike."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[^+*\s]+", pin)] == []
    pinned = {requirement_name(pin) for pin in pins}
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert {requirement_name(r) for r in wanted} - pinned == set()


def test_one_opencv_only():
    """Several builds of OpenCV would write into the same folder."""
    names = {requirement_name(d.name) for d in importlib.metadata.distributions()}
    assert {n for n in names if n.startswith("opencv")} == {"opencv-python-headless"}


def test_console_script_exists():
    for target in PYPROJECT["project"]["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_wheel_holds_everything(tmp_path: Path):
    """A wheel carries what git carries of the four packages, and nothing else of ours."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    typed = {f"{package}/py.typed" for package in PACKAGES}
    assert {"weights/manifest.toml", "app/render/__init__.pyi", *typed} <= held
    assert held == set(listing.splitlines())
    assert metadata["License-Expression"] == "Apache-2.0" and metadata["Author"]
    terms = {"LICENSE", "NOTICE", "weights/LICENSE.md"}
    assert set(metadata.get_all("License-File", [])) == terms


def test_the_version_is_written_once():
    """In pyproject.toml; all else asks what is installed, and the changelog tells of it."""
    version = PYPROJECT["project"]["version"]
    assert importlib.metadata.version("visavis") == version
    assert f"## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    copies = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if f'"{version}"' in path.read_text(encoding="utf-8")
    ]
    assert copies == []


def test_the_hosted_checks_run_on_every_python_that_is_promised():
    workflow = (ROOT / ".github/workflows/checks.yaml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^ +python: (\[.*\])$", workflow, flags=re.MULTILINE)
    named = "Programming Language :: Python :: 3."
    promised = [c for c in PYPROJECT["project"]["classifiers"] if c.startswith(named)]
    assert json.loads(listed) == [c.removeprefix(named[:-2]) for c in promised]
    first, last = json.loads(listed)[0], int(json.loads(listed)[-1].partition(".")[2])
    assert PYPROJECT["project"]["requires-python"] == f">={first},<3.{last + 1}"


def test_layers():
    """lint-imports, as scripts/test runs it, so that pytest alone sees a broken layer too."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_a_room_says_in_two_sentences_what_lives_there():
    said = {}
    for file in (path for package in PACKAGES for path in (ROOT / package).rglob("*/__init__.py")):
        told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        name = file.parent.relative_to(ROOT).as_posix()
        said[name] = len(re.findall(r"\.(?=\s|$)", told.split("\n\n")[0]))
    assert {"app/batch", "app/studio/screens", "motion2video/reference"} <= set(said)
    assert {name: sentences for name, sentences in said.items() if sentences != 2} == {}


def rooms_above() -> list[tuple[Path, str]]:
    """Every folder or file of a layer, and the name of one that stands above it."""
    found = []
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]:
        layers = [layer.split(" | ") for layer in contract.get("layers", [])]
        (container,) = contract.get("containers", [""])
        for i, layer in enumerate(layers):
            above = [f"{container}.{name}".strip(".") for upper in layers[:i] for name in upper]
            found += [(ROOT / container / room, name) for room in layer for name in above]
    return found


def source_of(room: Path) -> dict[str, str]:
    """The text of a room's files, or of a module, by their names."""
    files = [*room.rglob("*.py*")] if room.is_dir() else [room.with_suffix(".py")]
    texts = [path for path in files if path.suffix in (".py", ".pyi")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in texts}


def test_no_room_names_one_above_it():
    """Not as a string or in words either: who moves a file above must not have to look below."""
    found = []
    for room, upper in rooms_above():
        named = re.compile(rf"(?<![\w./]){upper.replace('.', '[./]')}[./][a-zA-Z_]\w*")
        for path, text in source_of(room).items():
            found += [f"{path}: {match[0]}" for match in named.finditer(text)]
    assert found == []


def test_the_packages_below_name_no_command_of_app():
    """But how to fetch weights, in one place."""
    commands = re.compile(r"`?visavis (?!weights\b)[a-z]+`|visavis weights|python -m app")
    found = [
        f"{path}: {match[0]}"
        for package in PACKAGES[1:]
        for path, text in source_of(ROOT / package).items()
        for match in commands.finditer(text)
    ]
    assert found == ["weights/registry.py: visavis weights"]


EXPECTS = ("pytest.raises", "pytest.warns", "pytest.fail", "np.testing.assert_")


def asserts(function: ast.AST, helpers: Collection[str]) -> bool:
    """Whether it does so itself, expects an error, or calls one of the helpers."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            if name.startswith(EXPECTS) or name.rpartition(".")[2] in helpers:
                return True
    return False


def _dotted(node: ast.expr) -> str:
    """`a.b.c`, or as much of its end as are names."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join(reversed([*names, node.id if isinstance(node, ast.Name) else ""]))


def imported_helpers(tree: ast.Module) -> Iterator[Path]:
    """The files under tests that a file imports."""
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        files = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
        yield from (file for file in files if file.is_file() and ROOT / "tests" in file.parents)


@cache
def helpers_that_assert(path: Path) -> frozenset[str]:
    """Names of the functions and methods, tests apart, that assert: in a file, and in those under
    tests that it imports.
    """
    tree, helpers = ast.parse(path.read_text(encoding="utf-8")), set[str]()
    for file in imported_helpers(tree):
        helpers |= helpers_that_assert(file)
    own = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)]
    own = [f for f in own if not f.name.startswith("test_")]
    while found := {f.name for f in own if asserts(f, helpers)} - helpers:
        helpers |= found
    return frozenset(helpers)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("assert x", True),
        ("with pytest.raises(ValueError): f()", True),
        ("require_same(a, b)", True),
        ("store.require_room()", False),  # the project's own: it may let everything pass
        ("run(x)", False),
    ],
)
def test_who_asserts_is_looked_into(code: str, shown: bool, tmp_path: Path):
    helper = "def require_same(a, b):\n    look(a, b)\n\n\ndef look(a, b):\n    assert a == b\n"
    (tmp_path / "helpers.py").write_text(helper)
    assert asserts(ast.parse(code), helpers_that_assert(tmp_path / "helpers.py")) == shown


def test_every_test_asserts_something():
    """Itself or by a helper that does: code that only ran has shown little."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                told = f"{path.name}: {node.name}"
                found += [] if asserts(node, helpers_that_assert(path)) else [told]
    assert found == []


def test_tests_mirror_the_packages():
    """A folder of tests is one of the package's, and no file of tests is too long to read."""
    rooms = {
        folder.relative_to(ROOT / "tests").as_posix()
        for package in PACKAGES
        for folder in (ROOT / "tests" / package).rglob("*")
        if folder.is_dir() and any(folder.glob("test_*.py"))
    }
    assert {room for room in rooms if not (ROOT / room).is_dir()} == set()
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_TEST_FILE} == {}
