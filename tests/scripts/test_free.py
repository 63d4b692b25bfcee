"""The chain on what may be used commercially: what gets into its pack, what it does not open."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scripts.data.free_pack import PARTS, PUBLIC, build
from scripts.train.chain import Chain, Places, main
from scripts.train.free import BORROWED, FREE, LEFT_OUT, LENT
from scripts.train.hashes import hash_of
from scripts.train.stages import CHAIN, Stage
from tests.scripts.test_chain import chain_in, places  # noqa: F401 # a fixture
from weights import load_manifest, read_safetensors
from weights.errors import InputError

UNFREE = ("lrc", "faces", "talkers", "dyads/nods.csv.gz", "calls")


def made_up_pack(root: Path) -> Path:
    """Files with the names of the research pack's; in two archives free and other things."""
    for name in (*(part.path for part in PARTS), "speech/emotional_de.zip", *UNFREE):
        path = root / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        else:
            path.mkdir(parents=True)
            (path / "a").write_text(name)
    kinds = [
        ("real", "london_001"),
        ("clip", "someone"),
        ("generated", "g1"),
        ("real", "london_002"),
    ]
    names = [f"{group}.webp" for _, group in kinds]
    _write(
        root / "hires/index.csv",
        ["image", "group", "kind"],
        [(name, group, kind) for name, (kind, group) in zip(names, kinds, strict=True)],
    )
    _zip(root / "hires/images.zip", names)
    np.savez(root / "hires/tracks.npz", rotation=np.arange(12.0).reshape(4, 3))
    clips = [
        ("mead", "research agreement"),
        ("address", PUBLIC),
        ("film", "repo MIT; rights unclear"),
    ]
    _write(
        root / "longclips/index.csv",
        ["clip", "audio", "licence"],
        [(clip, f"{clip}.ogg", licence) for clip, licence in clips],
    )
    _zip(root / "longclips/audio.zip", [f"{clip}.ogg" for clip, _ in clips])
    np.savez(
        root / "longclips/tracks.npz",
        clip=np.array([clip for clip, _ in clips]),
        start=np.array([0, 2, 5, 9]),
        fps=np.array([25.0, 25.0, 30.0]),
        lm_lo=np.arange(3 * 9).reshape(3, 9, 1),
        lm_scale=np.ones(3),
        valid=np.arange(9),
        blendshape_names=np.array(["a", "b"]),
    )
    return root


def _write(path: Path, fields: list[str], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([fields, *rows])


def _zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)


def test_nothing_else_gets_into_the_free_pack(tmp_path: Path) -> None:
    pack = made_up_pack(tmp_path / "pack")
    free = build(pack, tmp_path / "free")
    assert sorted(p.name for p in free.iterdir()) == sorted(
        {*(part.path.partition("/")[0] for part in PARTS), "CREDIT.md"}
    )
    assert [p.name for p in (free / "speech").iterdir()] == ["readings_en.zip"]
    with zipfile.ZipFile(free / "hires/images.zip") as archive:
        assert archive.namelist() == ["london_001.webp", "london_002.webp"]
    with np.load(free / "hires/tracks.npz") as tracks:
        assert tracks["rotation"][:, 0].tolist() == [0, 9], "rows go with their pictures"
    with np.load(free / "longclips/tracks.npz") as tracks:
        assert tracks["clip"].tolist() == ["address"] and tracks["start"].tolist() == [0, 3]
        assert tracks["valid"].tolist() == [2, 3, 4] and tracks["fps"].tolist() == [25]
        assert tracks["lm_lo"][1, :, 0].tolist() == [11, 12, 13]
        assert tracks["lm_scale"].shape == (3,) and tracks["blendshape_names"].shape == (2,)
    with zipfile.ZipFile(free / "longclips/audio.zip") as archive:
        assert archive.namelist() == ["address.ogg"]
    text = "".join(p.read_text("latin1") for p in free.rglob("*") if p.is_file())
    assert "mead" not in text and "someone" not in text and "emotional_de" not in text
    again = build(pack, tmp_path / "again")
    for name in ("hires", "longclips"):
        assert hash_of(again / name) == hash_of(free / name), "same pack, same bytes"


def test_a_pack_that_is_another_one_is_refused(tmp_path: Path) -> None:
    pack = made_up_pack(tmp_path / "pack")
    _write(pack / "hires/index.csv", ["image", "group", "kind"], [("a.webp", "celebrity", "real")])
    with pytest.raises(InputError, match="other real portraits than London's"):
        build(pack, tmp_path / "free")
    (pack / "models" / "ict_full.npz").unlink()
    with pytest.raises(InputError, match=r"ict_full\.npz is not there"):
        build(pack, tmp_path / "free")


def test_free_stages_read_free_parts_alone() -> None:
    free = {part.path for part in PARTS}
    names = [stage.name for stage in FREE]
    assert names == [stage.name for stage in CHAIN if stage.name not in LEFT_OUT]
    for at, stage in enumerate(FREE):
        assert all(p in free or p in ("models", "speech") for p in stage.pack), stage.name
        assert set(stage.after) <= set(names[:at]), stage.name
        for role in stage.opens:
            made = any(one.role == role for one in FREE[:at])
            assert made or role in LENT or (stage.name, role) in BORROWED, (stage.name, role)


def test_an_embedded_file_of_other_data_is_not_opened(places: Places) -> None:  # noqa: F811
    stages = (Stage("second", "toys.word", ("{here}",), "", opens=("sample",)),)
    chain = chain_in(places, stages)
    assert chain.why(stages[0]) == "was not run"
    free = Chain(stages, places, chain.manifest, free=True)
    with pytest.raises(InputError, match="opens sample, whose embedded file is not of free data"):
        free.made_of(stages[0])


def test_a_free_run_says_of_what_its_files_are(tmp_path: Path, monkeypatch, capsys) -> None:
    """One real stage; the others' files are not in its folder, but those that are free anyway."""
    pack, out = made_up_pack(tmp_path / "pack"), tmp_path / "out"
    toy = tmp_path / "root" / "toys"
    toy.mkdir(parents=True)
    (toy / "mouth.py").write_text(
        "import shutil, sys; assert not __import__('pathlib').Path(sys.argv[1], 'lrc').exists()\n"
        "shutil.copy(sys.argv[2], sys.argv[3])"
    )
    embedded = str(load_manifest().root / "mouth.safetensors")
    mouth = Stage(
        "mouth",
        "toys.mouth",
        ("{pack}", embedded, "{here}/mouth.safetensors"),
        "",
        makes="mouth.safetensors",
        role="mouth",
        pack=("models/ict_full.npz",),
    )
    view = build(pack, out / "free")
    free = Chain((mouth,), Places(out, view, root=toy.parent), load_manifest(), free=True)
    free.run([mouth], print)
    assert "of what: " in capsys.readouterr().out
    made = sorted(p.name for p in (out / "weights").glob("*.safetensors"))
    assert made == [
        "kokoro_voices.safetensors",
        *("landmarker.safetensors", "matte.safetensors"),
        "mouth.safetensors",
    ]
    assert set(load_manifest(out / "weights" / "manifest.toml").roles) == {*LENT, "mouth"}
    text = (out / "weights" / "FREE.md").read_text()
    assert "| `mouth.safetensors` | `mouth` | models/ict_full.npz |" in text
    assert "| `matte.safetensors` | | the embedded file, of free models alone |" in text
    assert f"| `identity.safetensors` | | not here: {LEFT_OUT['identity']} |" in text
    assert read_safetensors(out / "weights" / "mouth.safetensors")[0].keys()
    words = ["--pack", str(pack), "--out", str(out), "--dry-run"]
    assert main(words) == 1 and "is of --only-free: name another" in capsys.readouterr().err
    assert main([*words, "--only-free", "--only", "identity"]) == 1
    assert LEFT_OUT["identity"] in capsys.readouterr().err
    (out / "free").rename(out / "not")
    assert main([*words, "--only-free"]) == 1 and "of the whole pack" in capsys.readouterr().err


def test_what_is_free_is_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    card = (root / "weights" / "README.md").read_text("utf-8")
    assert "--only-free" in card
    for name in LEFT_OUT:
        assert f"`{name}`" in card
    for part in PARTS:
        assert part.path == "facepack.py" or part.path.partition("/")[0] in card
