"""A video of two people, and recordings of pairs, from files to samples."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import app.dataset.pairs as pairs
from app.dataset.following import Seen, Watcher, name_people
from app.dataset.layout import Dataset
from app.dataset.pairs import import_channels, import_pair
from app.dataset.recordings import Found, Recording, Tools, import_video
from app.render.reading import HERE
from audio2motion.hearing.audio import Waveform
from motion2video.media.container import probe
from motion2video.media.video import VideoWriter, read_video
from motion2video.motion import MOTION_DIM, Motion
from tests.app.dataset.made import Loudness, face_vector, tools, voice_of, written
from weights.errors import InputError, MediaError

PORTRAITS = Path(__file__).resolve().parents[3] / "app/assets/portraits"
FRAMES = 100


class Made(Watcher):
    """Sees what it is told to, whatever is in the video."""

    def __init__(self, *seen: Seen) -> None:
        self.seen = seen

    def watch(self, frames: Iterable, tick=lambda: None) -> tuple[list[Seen], int, list[str]]:
        return list(self.seen), sum(1 for _ in frames), []


class OneByOne(Made):
    """Sees the next one in each video."""

    def watch(self, frames: Iterable, tick=lambda: None) -> tuple[list[Seen], int, list[str]]:
        first, *rest = self.seen
        self.seen = tuple(rest)
        return [first], FRAMES, []


def seen_of(gap: np.ndarray, first: int = 0, x: float = 0.5, piece: int = 0, face=(1.0,)) -> Seen:
    motion = Motion(np.zeros((len(gap), MOTION_DIM), np.float32))
    return Seen(piece, first, motion, gap, None, face_vector(*face), x)


def watched(*seen: Seen) -> Tools:
    made = tools()
    made.watcher = Made(*seen)
    return made


def loud(start: int, end: int, seed: int = 0) -> np.ndarray:
    level = np.zeros(FRAMES)
    level[start:end] = 0.02 + 0.2 * np.random.default_rng(seed).random(end - start)
    return level


def video(path: Path, sound: Waveform | None = None) -> Path:
    samples = None if sound is None else sound.samples
    with VideoWriter(path, (64, 48), 25.0, audio=samples) as out:
        out.write(np.zeros((FRAMES, 48, 64, 3), np.uint8))
    return path


def recording(kind, *files: Path, **more) -> Recording:
    return Recording("rec", kind, tuple(map(str, files)), "source", **more)


def nothing() -> None:
    """For each frame."""


def test_faces_that_look_alike_are_one_person_unless_seen_at_once() -> None:
    gap = np.zeros(50)
    a, b = seen_of(gap, 0, 0.3), seen_of(gap, 0, 0.7)
    later, other = seen_of(gap, 60, piece=1), seen_of(gap, 120, piece=2, face=(0.0, 1.0))
    assert name_people([a, b]) == [0, 1], "twins"
    assert name_people([b, a, later, other]) == [1, 0, 0, 2]


def test_who_is_seen_with_somebody_else_for_a_moment_is_alone(tmp_path: Path) -> None:
    """Both begin at one frame; they are no conversation and have keys of their own."""
    path = video(tmp_path / "a.mp4")
    two = (seen_of(np.zeros(FRAMES)), seen_of(np.zeros(30), x=0.9, face=(0.0, 1.0)))
    found = import_video(recording("video", path), watched(*two), nothing)
    keys = [draft.sample.key for draft in found.drafts]
    assert len(set(keys)) == 2 and not any(d.sample.conversation for d in found.drafts)
    assert any("no sound track" in line for line in found.skipped)
    with pytest.raises(MediaError, match="no face"):
        import_video(recording("video", path), watched(), nothing)


def test_two_files_are_one_conversation_on_one_clock(tmp_path: Path) -> None:
    level = loud(10, 90)
    a = video(tmp_path / "a.mp4", voice_of(level))
    late = np.concatenate([np.zeros(3), level])[:FRAMES]
    b = voice_of(late, 1).save(tmp_path / "b.wav")
    made = watched(seen_of(level))
    found = import_pair(recording("pair", a, b, people=("ann", "bob"), offset=0.4), made, nothing)
    one, two = (draft.sample for draft in found.drafts)
    assert (one.person, two.person) == ("ann", "bob") and one.partner == two.key
    assert one.frames == two.frames == FRAMES - 10 and one.start == 0.4
    assert (one.motion, two.motion) == ("video", "") and one.voice == two.voice == "own"
    first, second = (draft.voice for draft in found.drafts)
    assert first is not None and second is not None
    heard = [Loudness().heard_gap(voice, 90) for voice in (first, second)]
    assert np.corrcoef(heard[0], level[10:])[0, 1] > 0.95, "what the first said from then on"
    assert np.corrcoef(heard[1], late[:90])[0, 1] > 0.95
    with pytest.raises(InputError, match="in common"):
        import_pair(recording("pair", a, b, offset=3.5), made, nothing)


def test_swapped_voices_are_told(tmp_path: Path) -> None:
    levels = loud(5, 45, 1), loud(50, 95, 2)
    files = [video(tmp_path / f"{n}.mp4", voice_of(levels[1 - n])) for n in range(2)]
    made = tools()
    made.watcher = OneByOne(seen_of(levels[0]), seen_of(levels[1]))
    found = import_pair(recording("pair", *files), made, nothing)
    assert any("swapped" in line for line in found.skipped)


def stereo(path: Path, left: Waveform, right: Waveform) -> Path:
    import wave

    both = np.stack([left.samples, right.samples], 1)
    with wave.open(str(path), "wb") as out:
        out.setparams((2, 2, 16_000, len(both), "NONE", ""))
        out.writeframes((both.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_channels_go_to_the_faces_that_move_with_them(monkeypatch, tmp_path: Path) -> None:
    a, b = loud(5, 45, 1), loud(50, 95, 2)
    path = stereo(tmp_path / "call.wav", voice_of(a), voice_of(b, 1))
    alone = import_channels(recording("channels", path), tools(), nothing)
    assert [d.sample.voice for d in alone.drafts] == ["own", "own"]
    assert [d.sample.motion for d in alone.drafts] == ["", ""]
    heard = [Loudness().heard_gap(d.voice, FRAMES) for d in alone.drafts if d.voice is not None]
    assert np.abs(heard[0] - a).mean() < 0.01 and np.abs(heard[1] - b).mean() < 0.01
    film = video(tmp_path / "call.mp4")
    voices = [voice_of(a), voice_of(b, 1)]
    info = replace(probe(film), audio_channels=2)
    made = SimpleNamespace(info=lambda _: info, frames=HERE.frames)
    monkeypatch.setattr(pairs, "media", lambda: made)
    monkeypatch.setattr(pairs, "voice_in", lambda path, channel: voices[channel])
    left, right = seen_of(b, x=0.2), seen_of(a, x=0.8, face=(0.0, 1.0))
    found = import_channels(recording("channels", film), watched(right, left), nothing)
    fits = [draft.sample.sync_r for draft in found.drafts]
    assert all(fit is not None and fit > 0.9 for fit in fits), "the left face has the right channel"
    with pytest.raises(MediaError, match="wanted two"):
        monkeypatch.undo()
        import_channels(recording("channels", film), tools(), nothing)


@pytest.mark.weights("face_landmarker", "identity", "face_basis")
def test_a_video_of_two_people_becomes_a_conversation_with_faces(tmp_path: Path) -> None:
    """The whole way, with the real tracker: frames to samples with videos of the faces."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PORTRAITS.glob("*.jpg"))[:2]]
    wall = np.full((200, 420, 3), 128, np.uint8)
    for n, photo in enumerate(photos):
        small = cv2.resize(np.asarray(photo), (200, 200), interpolation=cv2.INTER_AREA)
        wall[:, 10 + 210 * n : 210 + 210 * n] = small
    path = tmp_path / "two.mp4"
    with VideoWriter(path, (420, 200), 25.0) as out:
        out.write(np.repeat(wall[None], 27, 0))
    (tmp_path / "work").mkdir()
    made = tools(crops=True, work=tmp_path / "work")
    found: Found = import_video(recording("video", path, people=("a", "b")), made, nothing)
    dataset = Dataset.create(tmp_path / "data")
    written(dataset, found.drafts)
    ((left, right),) = dataset.conversations()
    assert (left.person, right.person) == ("a", "b") and left.frames == right.frames == 27
    assert left.embedding is not None and right.embedding is not None
    assert float(left.embedding @ right.embedding) < 0.45
    for one in (left, right):
        track, faces = dataset.track(one), dataset.read(one, "faces.mp4")
        assert track is not None and faces is not None
        (tmp_path / "face.mp4").write_bytes(faces)
        with read_video(tmp_path / "face.mp4") as reader:
            assert reader.size == track.size == one.size and sum(1 for _ in reader) == 27
        inside = track.landmarks[..., :2]
        assert inside.min() > 0 and inside.max() < one.size[0]
