"""The chain of trainings: what is run and what is not, and what a kill leaves. Its stages here are
files of a few lines; one test runs a real trainer on made-up data.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.train.chain import ROOT, Chain, Places, chosen, main
from scripts.train.hashes import code_of, hash_of
from scripts.train.stages import CHAIN, TINY, Stage
from tests.weights.conftest import sha256
from weights import load_manifest, read_safetensors, save_safetensors
from weights.errors import BusyError, InputError, VisavisError
from weights.tensors import read_made

WORD = '"""A word."""\nWORD = "one"\n'
FIRST = """
import sys
from pathlib import Path
from toys.word import WORD
pack, here = Path(sys.argv[1]), Path(sys.argv[2])
with (here.parent / "runs").open("a") as file:
    file.write("first ")
(here / "text").write_text((pack / "part" / "a").read_text() + WORD)
"""
SECOND = """
import os, shutil, sys
from pathlib import Path
text, here = Path(sys.argv[1]), Path(sys.argv[2])
with (here.parent / "runs").open("a") as file:
    file.write("second ")
seen = Path(os.environ["VISAVIS_MANIFEST"])
assert [p.name for p in seen.parent.glob("*.safetensors")] == ["a.safetensors"]
assert "[sample]" in seen.read_text() and "[spare]" not in seen.read_text()
assert text.read_text(), "there is something to learn of"
shutil.copy(os.environ["MADE"], here / "made.safetensors")
"""
SLOW = """
import os, sys, time
from pathlib import Path
here = Path(sys.argv[1])
place = here / "checkpoint"
done = int(place.read_text()) if place.exists() else 0
with (here.parent / "runs").open("a") as file:
    file.write(f"from {done} ")
for step in range(done, 30):
    time.sleep(0.02)
    place.with_suffix(".part").write_text(str(step + 1))
    os.replace(place.with_suffix(".part"), place)
(here / "product").write_text("whole")
"""
STAGES = (
    Stage("first", "toys.first", ("{pack}", "{here}"), "", makes="text", pack=("part",)),
    Stage(
        "second",
        "toys.second",
        ("{first}/text", "{here}"),
        "",
        makes="made.safetensors",
        role="sample",
        opens=("sample",),
        seed=3,
    ),
)
TABLE = """
[{name}]
summary = "x"
used_by = "x"
file = "{file}"
sha256 = "{sha}"
size = {size}
source = "x"
revision = "1"
licence = "x"
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    toys = tmp_path / "root" / "toys"
    toys.mkdir(parents=True)
    for name, text in (("word", WORD), ("first", FIRST), ("second", SECOND), ("slow", SLOW)):
        (toys / f"{name}.py").write_text(text)
    (tmp_path / "pack" / "part").mkdir(parents=True)
    (tmp_path / "pack" / "part" / "a").write_text("a")
    save_safetensors(tmp_path / "new", {"x": np.ones(2)}, {"width": 2})
    monkeypatch.setenv("MADE", str(tmp_path / "new"))
    return Places(tmp_path / "out", tmp_path / "pack", root=tmp_path / "root")


def chain_in(places: Places, stages: tuple[Stage, ...] = STAGES) -> Chain:
    """Of two roles that are embedded in a manifest beside the folder."""
    root = places.out.parent / "embedded"
    root.mkdir(exist_ok=True)
    save_safetensors(root / "a.safetensors", {"x": np.zeros(2)}, {"width": 2})
    data, tables = (root / "a.safetensors").read_bytes(), ""
    (root / "b.safetensors").write_bytes(data)
    for name, file in (("sample", "a.safetensors"), ("spare", "b.safetensors")):
        tables += TABLE.format(name=name, file=file, sha=sha256(data), size=len(data))
    (root / "manifest.toml").write_text("# Of the tests.\n" + tables)
    return Chain(stages, places, load_manifest(root / "manifest.toml"))


def runs(places: Places, stages: tuple[Stage, ...] = STAGES) -> str:
    """Which stages a start runs."""
    log = places.out / "runs"
    log.unlink(missing_ok=True)
    chain = chain_in(places, stages)
    plan = [stage.name for stage, why in chain.plan(stages) if why]
    chain.run(stages, lambda _: None)
    done = log.read_text().split() if log.exists() else []
    assert [name for name in plan if name in done] == done, "it runs no more than it said"
    return " ".join(done)


def test_only_what_changed_is_run_again(places: Places) -> None:
    assert runs(places) == "first second" and runs(places) == ""
    word = places.root / "toys" / "word.py"
    word.write_text('"""Another docstring."""\n# and a comment\nWORD = "one"  \n')
    assert runs(places) == "", "the code says what it said"
    os.utime(places.pack / "part" / "a" if places.pack else word)
    assert runs(places) == "", "the clock is no input"
    word.write_text('WORD = "two"\n')
    assert runs(places) == "first second", "what a stage imports is its code"
    (places.out.parent / "pack" / "part" / "b").write_text("")
    assert chain_in(places).why(STAGES[0]) == "{pack}/part changed"
    assert runs(places) == "first", "the same text is no reason to run the second"
    assert runs(
        places, (STAGES[0], replace(STAGES[1], arguments=("{first}/text", "{here}", "")))
    ) == ("second")
    (places.out / "first" / "text").write_text("by hand")
    assert chain_in(places).why(STAGES[0]) == "its product is gone or another"


def test_the_weights_say_what_they_were_made_of(places: Places) -> None:
    runs(places)
    manifest = load_manifest(places.out / "weights" / "manifest.toml")
    assert sorted(p.name for p in manifest.root.iterdir()) == [
        *("a.safetensors", "b.safetensors", "manifest.toml")
    ]
    path = manifest.root / "a.safetensors"
    assert sha256(path.read_bytes()) == manifest.role("sample").sha256
    assert read_safetensors(path)[0]["x"].tolist() == [1, 1]
    made = read_made(path)
    assert (made["stage"], made["seed"]) == ("second", 3)
    assert made["inputs"].keys() == {"first"} and made["weights"].keys() == {"sample"}
    assert read_made(manifest.root / "b.safetensors") == {}, "nobody made that here"


def test_products_can_be_accepted_and_stages_left_out(places: Places) -> None:
    runs(places)
    (places.root / "toys" / "word.py").write_text('WORD = "three"\n')
    chain = chain_in(places)
    assert chain.why(STAGES[0]) == "toys/word.py changed"
    chain.accept(STAGES[0])
    assert runs(places) == "" and chain_in(places).ledger.entries["first"].accepted
    with pytest.raises(InputError, match="second needs what first makes"):
        chain_in(places, STAGES[1:]).plan(STAGES[1:])
    with pytest.raises(InputError, match="there is no stage third: they are first, second"):
        chosen(STAGES, ["third"], [])


def test_what_goes_wrong_is_said_in_a_sentence(places: Places, capsys) -> None:
    chain = chain_in(places)
    with pytest.raises(InputError, match="text is not there"):
        chain.run(STAGES[1:], lambda _: None)
    (places.root / "toys" / "second.py").write_text("raise SystemExit(7)")
    with pytest.raises(VisavisError, match="the stage second ended with 7"):
        runs(places)
    assert chain_in(places).ledger.entries["first"].state == "done"
    assert chain_in(places).why(STAGES[1]) == "was not ended"
    (places.out / "stages.json").write_text("{}")
    with pytest.raises(InputError, match="move it away"):
        chain_in(places)
    assert main(["--out", str(places.out.parent / "x")]) == 1
    assert "--pack is needed" in capsys.readouterr().err
    found = ["--out", str(places.out.parent / "x"), "--pack", str(places.pack), "--only", "matte"]
    assert main(found) == 1 and "put it there, or name" in capsys.readouterr().err
    assert main([*found, "--dry-run"]) == 0
    assert "matte needs" in capsys.readouterr().out


SLOW_CHAIN = (
    "import sys; from pathlib import Path; from tests.scripts.test_chain import *\n"
    "places = Places(Path(sys.argv[1]), root=Path(sys.argv[2]))\n"
    "chain_in(places, SLOWLY).run(SLOWLY, print)"
)
SLOWLY = (Stage("slow", "toys.slow", ("{here}",), "", makes="product", resumes=True),)


def test_a_killed_chain_goes_on_where_it_was(places: Places) -> None:
    """Killed for good; its stage lives on, and nobody begins beside it."""
    command = [sys.executable, "-c", SLOW_CHAIN, str(places.out), str(places.root)]
    checkpoint = places.out / "slow" / "checkpoint"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not (checkpoint.exists() and int(checkpoint.read_text()) > 3):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    with pytest.raises(BusyError, match=r"process (\d+) is at work") as busy:
        chain_in(places, SLOWLY).run(SLOWLY, lambda _: None)
    os.kill(int(str(busy.value).split()[1]), signal.SIGKILL)
    until = time.monotonic() + 20
    chain = chain_in(places, SLOWLY)
    assert chain.why(SLOWLY[0]) == "goes on"
    while time.monotonic() < until:
        try:
            chain.run(SLOWLY, lambda _: None)
            break
        except BusyError:
            time.sleep(0.01)
    first, second = (places.out / "runs").read_text().split("from ")[1:]
    assert int(first) == 0 and 3 < int(second) < 30
    assert chain_in(places, SLOWLY).why(SLOWLY[0]) == ""
    (places.root / "toys" / "slow.py").write_text(SLOW.replace("30", "31"))
    json.loads((places.out / "stages.json").read_text())
    assert "slow.py changed" in chain_in(places, SLOWLY).why(SLOWLY[0])


def test_folders_are_hashed_by_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x").write_bytes(b"1")
    before = hash_of(tmp_path / "a")
    (tmp_path / "a" / "deep" / "x").rename(tmp_path / "a" / "x")
    assert hash_of(tmp_path / "a") != before
    assert hash_of(tmp_path / "a" / "x") == hash_of(tmp_path / "a" / "x")


def test_code_is_followed_through_rooms_that_load_late() -> None:
    found = code_of("scripts.train.motion", ROOT)
    assert {
        "scripts/train/loop.py",
        "scripts/data/motion_items.py",
        "audio2motion/network/model.py",
        "weights/tensors.py",
    } <= found.keys()
    assert not any(name.startswith("tests/") for name in found)


def test_the_chain_makes_every_embedded_role() -> None:
    """And every stage is of code that is there, with a seed where its script takes one."""
    roles = {role.name for role in load_manifest().roles.values() if role.embedded}
    assert {stage.role for stage in CHAIN if stage.embedded} == roles
    last = {stage.role: stage for stage in CHAIN if stage.role}
    assert all(stage.embedded for stage in last.values())
    for stages in (CHAIN, TINY):
        names = [stage.name for stage in stages]
        assert len(set(names)) == len(names)
        for at, stage in enumerate(stages):
            assert set(stage.after) <= set(names[:at]), stage.name
            source = (ROOT / (stage.module.replace(".", "/") + ".py")).read_text("utf-8")
            options = [a for a in stage.arguments if a.startswith("--")]
            assert [o for o in options if f'"{o}"' not in source] == [], stage.name
            assert ('"--seed"' in source) == ("--seed" in options), stage.name
            assert not {"--minutes", "--stop"} & set(options), (
                "a run by the clock is never the same"
            )
    card = (ROOT / "weights" / "README.md").read_text("utf-8")
    for role in roles:
        assert f"| `{role}` | `{last[role].name}` | {last[role].embedded} |" in card


@pytest.mark.slow
def test_a_real_trainer_on_made_up_data(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--tiny", "--out", str(tmp_path), "--only", "identity"]
    assert main(words) == 0
    made = read_made(tmp_path / "weights" / "identity.safetensors")
    assert made["stage"] == "identity" and made["seed"] == 0
    assert "identity: other numbers" in capfd.readouterr().out
    assert main(words) == 0
    assert capfd.readouterr().out.count("is as it was") == 1


@pytest.mark.endurance
def test_the_whole_tiny_chain(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.train.chain", "--tiny", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"[{len(TINY)}/{len(TINY)}]" in done.stdout
    assert (tmp_path / "motion" / "motion_generator.safetensors").is_file()
