"""A portrait moved by the generator beside the same moved by a person: video, sheet, curves."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.render.demo import DEFAULT_PORTRAIT
from audio2motion.hearing.audio import Waveform
from motion2video.media.video import stored_frames
from motion2video.motion import Motion, channel_index
from scripts.evaluate import beside

FRAMES = 12


def test_two_motions_of_one_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Waveform(np.sin(np.arange(640 * FRAMES) / 9).astype(np.float32))
    opened = Motion.neutral(FRAMES)
    opened.values[:, channel_index("jawOpen")] = 0.6
    for side, motion in (("made", opened), ("real", Motion.neutral(FRAMES))):
        (tmp_path / side).mkdir()
        motion.save(tmp_path / side / "ann__one.npz")
        voice.save(tmp_path / side / "ann__one.wav")
    out = tmp_path / "new" / "out"
    arguments = ["--pairs", str(tmp_path), "--portrait", str(DEFAULT_PORTRAIT), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["beside", *arguments, "--most", "0.4"])
    beside.main()
    frames = np.stack(list(stored_frames(out / "ann__one.mp4")))
    height, width = frames.shape[1:3]
    assert len(frames) == 10 and width == 2 * height
    made, real = frames[5, :, :height], frames[5, :, height:]
    below = slice(int(0.55 * height), None)
    assert np.abs(made[below].astype(int) - real[below]).mean() > 1  # its mouth alone is open
    sheet = cv2.imread(str(out / "ann__one.sheet.png"))
    assert sheet is not None and sheet.shape[0] == 2 * 224
    mouths = sheet[224:, : 2 * 224]
    assert mouths[:, :224].mean() > 20 < mouths[:, 224:].mean()


def test_curves_are_of_both_motions_over_the_voice() -> None:
    made, real = Motion.neutral(50).values, Motion.neutral(50).values
    made[:, 52] = np.radians(6)
    voice = Waveform(np.zeros(640 * 50, np.float32))
    picture = beside.curves(made, real, voice)
    lane = picture[beside._LANE * 10 : beside._LANE * 11, beside._LABELS + 4 :]
    places = [
        np.flatnonzero((lane == np.array(colour)).all(2).any(1)).mean()
        for colour in (beside._MADE, beside._REAL)
    ]
    assert places[0] < places[1] - 30  # six degrees are far above none
    assert len(picture) == beside._LANE * (1 + len(beside.ROWS))
