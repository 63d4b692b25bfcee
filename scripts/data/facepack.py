"""Write the dataset layout (see scripts/data/dataset.py) from the research data pack.

    python -m scripts.data.facepack --pack PACK --out DATA

The neutral face of an identity is estimated over all its clips; sound is moved by each clip's
measured offset. Of a pack without some of its groups (scripts/data/free_pack.py) the others are
written, which it says. Whole identities are held out, and the lists below must never change: they
keep every figure in the model cards comparable.
"""

import argparse
import csv
import hashlib
import sys
import zipfile
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Waveform
from motion2video.geometry.basis import (
    FaceBasis,
    HeadPose,
    Neutral,
    axis_angle,
    estimate_neutral,
    fit_pose,
    interocular,
    motion_from_landmarks,
    rotation_matrix,
)
from motion2video.motion import EXPRESSION, MOTION_DIM, Motion, channel_index

TEST = {"lrc09", "lrc22", "lrc34", "lrc12", "lrc28"}
VALIDATION = {"lrc24", "lrc14", "lrc04", "lrc23", "klobuchar", "ls3", "lp_d6"}
SURE_OFFSET = 0.08  # below this confidence a clip's sound offset is unknown
MOST_FRAMES = 6000
FIELDS = ["clip", "group", "identity", "split", "frames", "motion", "audio", "video"]
FIELDS += ["native_fps", "partner"]


def split_of(identity: str) -> str:
    """train, val or test; GRID's single-sentence speakers are all test."""
    if identity in TEST or identity.startswith("x_"):
        return "test"
    return "val" if identity in VALIDATION else "train"


def still_held_out(person: str) -> bool:
    """Whether the pictures of somebody are for judging alone: those of one person in ten."""
    return int(hashlib.sha1(person.encode()).hexdigest(), 16) % 10 == 0


def identity_of(group: str, row: dict[str, str]) -> str:
    """The person in a clip; the silent sentences' speakers have numbers of their own."""
    if group == "grid" and row["clip"].startswith("x_"):
        return row["clip"]
    person = row.get("identity") or row["person"]
    return f"lrq_{person}" if row["clip"].startswith("lrq") else person


def convert_group(pack: Any, group: str, root: Path, out: Path) -> list[dict[str, Any]]:
    """All clips of one group; returns their rows of index.csv."""
    basis, tracks, rows = FaceBasis.load(), pack.Tracks(group, str(root)), []
    people = defaultdict(list)
    for row in pack.index(group, str(root)):
        people[identity_of(group, row)].append(row)
    archive = "audio.zip" if group == "longclips" else "clips.zip"
    with zipfile.ZipFile(root / group / archive) as media:
        for identity, clips in sorted(people.items()):
            loaded = [pack.at_25fps(tracks[row["clip"]]) for row in clips]
            marks = [c["landmarks"] * np.array([*c["wh"], c["wh"][0]], "f4") for c in loaded]
            neutral = _neutral(marks, loaded, basis)
            for row, clip, landmarks in zip(clips, loaded, marks, strict=True):
                _write_clip(row["clip"], clip, landmarks, neutral, basis, out)
                audio, video = _write_media(row, group, media, len(landmarks), out)
                rows.append(
                    {
                        "clip": row["clip"],
                        "group": group,
                        "identity": identity,
                        "split": split_of(identity),
                        "frames": len(landmarks),
                        "motion": f"motion/{row['clip']}.npz",
                        "audio": audio,
                        "video": video,
                        "native_fps": row.get("native_fps") or row["fps"],
                        "partner": row.get("partner", ""),
                    }
                )
    return rows


def _neutral(marks: list[np.ndarray], loaded: list[dict], basis: FaceBasis) -> Neutral:
    unit = np.concatenate([m / interocular(m).mean() for m in marks])
    scores = np.concatenate([c["blendshapes"] for c in loaded]).astype(np.float32)
    valid = np.concatenate([c["valid"] for c in loaded])
    if len(unit) > MOST_FRAMES:
        keep = np.random.default_rng(0).choice(len(unit), MOST_FRAMES, replace=False)
        unit, scores, valid = unit[keep], scores[keep], valid[keep]
    return estimate_neutral(unit, scores, valid, basis, nearness=0.0)


def _write_clip(
    name: str, clip: dict, landmarks: np.ndarray, neutral: Neutral, basis: FaceBasis, out: Path
) -> None:
    pose = fit_pose(landmarks, basis.canonical)
    rest = HeadPose(
        rotation_matrix(np.median(axis_angle(pose.rotation), 0))[None],
        np.median(pose.offset, 0)[None],
        np.median(pose.scale, 0)[None],
    )
    scores, valid = clip["blendshapes"].astype(np.float32), clip["valid"]
    own = Neutral(neutral.points, neutral.expression, rest)
    motion = motion_from_landmarks(landmarks, scores, valid, 25.0, basis, own)
    motion.save(out / "motion" / f"{name}.npz")
    np.savez(
        out / "tracks" / f"{name}.npz",
        landmarks=landmarks,
        expression=scores,
        valid=valid,
        size=np.array(clip["wh"]),
    )


def _write_media(
    row: dict[str, str], group: str, media: zipfile.ZipFile, frames: int, out: Path
) -> tuple[str, str]:
    """The clip's video and its sound on the picture's clock; their names, empty for none."""
    name, video = row["clip"], ""
    if group != "longclips":
        video = f"video/{name}.mp4"
        (out / video).write_bytes(media.read(row["file"]))
        source = out / video
    elif row["audio"]:
        source = out / "audio" / row["audio"]
        source.write_bytes(media.read(row["audio"]))
    else:
        return "", video
    sound = Waveform.load(source)
    sure = group != "grid" and float(row.get("av_confidence") or 0) >= SURE_OFFSET
    offset = float(row.get("av_offset") or 0) if sure else 0.0
    at = np.arange(frames * SAMPLES_PER_FRAME) + round(offset * SAMPLES_PER_FRAME)
    inside = (at >= 0) & (at < len(sound.samples))
    samples = np.zeros(len(at), np.float32)
    samples[inside] = sound.samples[at[inside]]
    Waveform(samples, SAMPLE_RATE).save(out / "audio" / f"{name}.wav")
    return f"audio/{name}.wav", video


def convert_facegood(root: Path, out: Path) -> list[dict[str, Any]]:
    """One speaker's mouth animation (no head, no landmarks): Motion and sound, all for training.

    The authors' table has no place for their two liveliest channels: half of `mouth_oh_c` goes to
    mouthFunnel and half of `mouth_oo_c` to mouthPucker. The mouth is one frame late.
    """
    rows = []
    with np.load(root / "facegood" / "motion.npz", allow_pickle=False) as data:
        raw_names = [str(name) for name in data["raw_names"]]
        for key in sorted(k for k in data.files if k.endswith("/arkit25")):
            clip = key.split("/")[0]
            values = np.zeros((len(data[key]), MOTION_DIM), np.float32)
            values[:, EXPRESSION] = data[key]
            raw = data[f"{clip}/raw25"]
            for source, target in (("mouth_oh_c", "mouthFunnel"), ("mouth_oo_c", "mouthPucker")):
                values[:, channel_index(target)] += 0.5 * raw[:, raw_names.index(source)]
            values[:, EXPRESSION] = values[:, EXPRESSION].clip(0, 1)
            Motion(values).save(out / "motion" / f"fg_{clip}.npz")
            sound = Waveform.load(root / "facegood" / f"{clip}.flac").samples
            samples = np.zeros(len(values) * SAMPLES_PER_FRAME, np.float32)
            late = sound[: len(samples) - SAMPLES_PER_FRAME]
            samples[SAMPLES_PER_FRAME : SAMPLES_PER_FRAME + len(late)] = late
            Waveform(samples, SAMPLE_RATE).save(out / "audio" / f"fg_{clip}.wav")
            row = {"clip": f"fg_{clip}", "group": "facegood", "identity": "facegood"}
            row |= {"split": "train", "frames": len(values), "motion": f"motion/fg_{clip}.npz"}
            row |= {"audio": f"audio/fg_{clip}.wav", "video": "", "native_fps": "30"}
            rows.append({**row, "partner": ""})
    return rows


def convert_stills(pack: Any, root: Path, out: Path) -> list[dict[str, str]]:
    """Portraits and news photos with their landmarks; one identity in ten is held out."""
    rows, marks = [], []
    for group, track, archive in (("london", "london", "images"), ("faces", "lfw", "lfw")):
        if not _there(root, group):
            continue
        names, landmarks = pack.still_landmarks(group, track, str(root))
        with zipfile.ZipFile(root / group / f"{archive}.zip") as images:
            paths = {PurePath(p).name: p for p in images.namelist()}
            for name, points in zip(names, landmarks, strict=True):
                base = PurePath(name).name
                data = images.read(paths[base])
                (out / "stills" / base).write_bytes(data)
                size = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                height, width = size.shape[:2] if size is not None else (0, 0)
                depth = points[:, 2:] if points.shape[1] == 3 else np.zeros((478, 1))
                full = np.concatenate([points[:, :2], depth], 1) * [width, height, width]
                person = base[:3] if group == "london" else base.rsplit("_", 1)[0]
                split = "test" if still_held_out(person) else "train"
                identity = f"{group}:{person}"
                rows.append(
                    {"name": base, "identity": identity, "split": split, "image": f"stills/{base}"}
                )
                marks.append(full.astype(np.float32))
    np.savez(
        out / "stills.npz", names=np.array([r["name"] for r in rows]), landmarks=np.stack(marks)
    )
    return rows


def _there(root: Path, group: str) -> bool:
    """Whether a pack has a group; says where it has not."""
    if there := (root / group).is_dir():
        return there
    print(f"{group}: {root} has none", flush=True)
    return False


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, required=True, help="folder with facepack.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.pack))
    import facepack  # pyrefly: ignore[missing-import] # the pack brings its own reader

    out = arguments.out
    for folder in ("motion", "tracks", "audio", "video", "stills"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for group in ("lrc", "grid", "longclips"):
        if _there(arguments.pack, group):
            rows += convert_group(facepack, group, arguments.pack, out)
            print(f"{group}: {len(rows)} clips so far", flush=True)
    rows += convert_facegood(arguments.pack, out)
    pictures = convert_stills(facepack, arguments.pack, out)
    for name, table, fields in (
        ("index.csv", rows, FIELDS),
        ("stills.csv", pictures, ["name", "identity", "split", "image"]),
    ):
        with (out / name).open("w", newline="", encoding="utf8") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(table)
    print(f"{len(rows)} clips, {len(pictures)} stills")


if __name__ == "__main__":
    main()
