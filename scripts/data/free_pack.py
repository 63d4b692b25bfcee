"""The part of the research pack that may be used commercially, as a pack of its own.

    python -m scripts.data.free_pack --pack PACK --out DIR

Nothing else gets into DIR: what is free as a whole is linked, and of archives in which free and
other material lie together new ones are written. What is free is what a licence says so of:
research agreements, footage of unclear rights and collections that state no terms are left out.
Who uses what is made of it gives the credit that DIR/CREDIT.md asks for. Same pack, same bytes.
"""

import argparse
import csv
import io
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from weights.errors import InputError
from weights.saving import save_whole

PUBLIC = "Obama address: US government work"
"""What longclips/index.csv says of the one clip that is nobody's property."""


@dataclass(frozen=True)
class Part:
    """A part that is free, under which licence, and by whom it is, as a credit says it."""

    path: str
    licence: str
    credit: str


PARTS = (
    Part("facepack.py", "no data", "the pack's own reader"),
    Part("grid", "CC BY 4.0", "GRID corpus, Cooke, Barker, Cunningham and Shao 2006"),
    Part("facegood", "MIT", "FACEGOOD-Audio2Face"),
    Part("london", "CC BY 4.0", "Face Research Lab London Set, DeBruine and Jones"),
    Part("hires", "CC BY 4.0", "Face Research Lab London Set, DeBruine and Jones"),
    Part("longclips", "public domain", "an address of a president, work of the US government"),
    Part("models/ict_full.npz", "MIT", "ICT-FaceKit, USC Institute for Creative Technologies"),
    Part("models/ict_landmarks.npz", "MIT", "ICT-FaceKit, USC Institute for Creative Technologies"),
    Part("models/ICT_LICENSE.txt", "MIT", "ICT-FaceKit, USC Institute for Creative Technologies"),
    Part("models/selfie_segmentation.tflite", "Apache-2.0", "MediaPipe, Google"),
    Part("dyads/video_calls.npz", "MIT", "daoramey/nonverbal-dynamics-VC-resolution"),
    Part("speech/readings_en.zip", "Apache-2.0", "readings of PhilippMatthes/dc_tts"),
)
LEFT_OUT = {
    "lrc": "footage of a broadcaster, rights unclear",
    "longclips": "but for one clip: footage of unclear rights, or a research agreement (MEAD)",
    "faces": "LFW, news photos without a licence",
    "hires": "but for London's portraits: collections without a stated licence, demo footage",
    "talkers": "demo footage of third parties, much of it made by research models",
    "speech/emotional_de.zip": "EmoDB, free to use with citation: of trade it says nothing",
    "dyads": "but for the smiles of video calls: measured behaviour under research and GPL terms; "
    "no stage reads it",
    "calls": "no stage reads it",
    "models/taef2_*.pth": "no stage reads it",
}


def build(pack: Path, out: Path) -> Path:
    """Make `out` hold the free parts of `pack`, whatever was there before, and return its place.
    Raises InputError where the pack lacks one.
    """
    pack, new = pack.absolute(), out.with_name(out.name + ".part")
    for part in PARTS:
        if not (pack / part.path).exists():
            raise InputError(f"{pack / part.path} is not there: --pack is the research pack")
    shutil.rmtree(new, ignore_errors=True)
    for part in PARTS:
        (new / part.path).parent.mkdir(parents=True, exist_ok=True)
        if make := _FILTERED.get(part.path):
            make(pack, new)
        else:
            (new / part.path).symlink_to(pack / part.path)
    rows = [f"| `{p.path}` | {p.licence} | {p.credit} |" for p in PARTS]
    text = "\n".join(["| part | licence | by |", "|---|---|---|", *rows, ""])
    save_whole(new / "CREDIT.md", text.encode(), "the credits")
    shutil.rmtree(out, ignore_errors=True)
    return new.rename(out)


def _hires(pack: Path, out: Path) -> None:
    """London's portraits from their sharp originals."""
    source, target = pack / "hires", out / "hires"
    rows, fields = _table(source / "index.csv")
    kept = [i for i, row in enumerate(rows) if row["kind"] == "real"]
    other = [r["image"] for i in kept if not (r := rows[i])["group"].startswith("london_")]
    if other or not kept:
        raise InputError(f"{source} has other real portraits than London's: {other[:3]}")
    target.mkdir()
    with np.load(source / "tracks.npz") as tracks:
        np.savez(target / "tracks.npz", **{name: tracks[name][kept] for name in tracks.files})
    _pick(source / "images.zip", target / "images.zip", {rows[i]["image"] for i in kept})
    _write_table(target / "index.csv", fields, (rows[i] for i in kept))


def _longclips(pack: Path, out: Path) -> None:
    """The clips that are nobody's property."""
    source, target = pack / "longclips", out / "longclips"
    rows, fields = _table(source / "index.csv")
    kept = [row for row in rows if row["licence"] == PUBLIC]
    names = {row["clip"] for row in kept}
    target.mkdir()
    with np.load(source / "tracks.npz") as tracks:
        held = {name: tracks[name] for name in tracks.files}
    at = [i for i, clip in enumerate(held["clip"].tolist()) if clip in names]
    start = held.pop("start")
    frames = [np.arange(start[i], start[i + 1]) for i in at]
    total, chosen = int(start[-1]), np.concatenate([np.zeros(0, int), *frames])
    for name, values in held.items():
        if name in ("clip", "fps", "size"):
            held[name] = values[at]
        elif name in ("lm_lo", "lm_hi"):
            held[name] = values[:, chosen]
        elif len(values) == total:
            held[name] = values[chosen]
    held["start"] = np.cumsum([0, *map(len, frames)])
    np.savez(target / "tracks.npz", **held)
    _pick(source / "audio.zip", target / "audio.zip", {row["audio"] for row in kept})
    _write_table(target / "index.csv", fields, kept)


_FILTERED: dict[str, Callable[[Path, Path], None]] = {"hires": _hires, "longclips": _longclips}


def _table(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    with path.open(newline="", encoding="utf8") as file:
        reader = csv.DictReader(file)
        return list(reader), list(reader.fieldnames or [])


def _write_table(path: Path, fields: list[str], rows: Iterable[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf8")


def _pick(source: Path, target: Path, names: set[str]) -> None:
    """An archive of some of another's files."""
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as some:
        for member in sorted(whole.namelist()):
            if PurePath(member).name in names:
                some.writestr(zipfile.ZipInfo(member), whole.read(member))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True, help="the research data pack")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(build(options.pack, options.out))


if __name__ == "__main__":
    main()
