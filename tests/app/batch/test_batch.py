"""A batch in this process: what is skipped and what is made anew, how it ends, what it tells."""

import json
import re
import sqlite3
import urllib.request
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import app.cli.commands as cli
from app.batch.batch import LEDGER, Batch, EngineOptions
from app.batch.driver import BatchConfig
from app.batch.events import Event
from app.batch.ledger import Ledger
from app.batch.metrics import metrics
from app.batch.segments import cut_at_silence, part_request
from app.batch.work import AvatarSettings
from app.provenance import credentials
from app.provenance.origin import Provenance
from app.provenance.record import Log
from app.render.performance import perform
from app.render.request import MotionRequest, RenderRequest
from motion2video.media.video import probe, read_video
from motion2video.motion import Motion
from tests.app.batch.conftest import FRAMES, make_rows, write_manifest
from tests.app.batch.tiny import FACTORY, TinyAvatar
from weights.errors import InputError, OutputError, StateError

MakeBatch = Callable[..., Batch]


@pytest.mark.slow
def test_what_is_done_is_skipped_and_what_changed_is_made_anew(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    batch = make_batch(4)
    out = Path(batch.out)
    first = batch.run()
    assert (first.made, first.skipped, first.complete) == (4, 0, True)
    assert probe(out / "000001.mp4").frames == FRAMES
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.mp4")}
    again = batch.run()
    assert (again.made, again.skipped) == (0, 4)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.mp4")} == written

    Motion.neutral(5).save(tmp_path / "motion1.npz")  # another content under the same name
    (out / "000003.mp4").write_bytes(b"cut off")
    (out / "000004.mp4").unlink()
    changed = batch.run()
    assert (changed.made, changed.skipped) == (3, 1)
    assert probe(out / "000002.mp4").frames == 5
    assert replace(batch, defaults={"size": 96}).run().made == 4
    assert replace(batch, defaults={"size": 96}).run().made == 0
    other = replace(batch.settings, threads=2, device="cpu")
    assert replace(batch, defaults={"size": 96}, settings=other).run().made == 0
    assert replace(batch, settings=replace(other, precision="fp32")).run().made == 4


def test_another_speech_encoder_in_the_same_folder_is_a_change(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    model = tmp_path / "hubert"
    model.mkdir()
    (model / "config.json").write_text("{}")
    weights = model / "model.safetensors"
    weights.write_bytes(b"one")
    settings = AvatarSettings(FACTORY, threads=1, speech_encoder=f"hubert:{model}")
    batch = make_batch(2, settings=settings)
    assert batch.run().made == 2
    assert batch.run().made == 0
    weights.write_bytes(b"two")
    assert batch.run().made == 2


def test_a_touched_input_is_not_a_changed_one(make_batch: MakeBatch, tmp_path: Path) -> None:
    batch = make_batch(1)
    batch.run()
    data = (tmp_path / "motion0.npz").read_bytes()
    (tmp_path / "motion0.npz").write_bytes(data)
    assert batch.run().made == 0


def test_rows_that_go_stay_in_the_ledger_but_not_in_the_report(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    make_batch(3).run()
    batch = make_batch(make_rows(tmp_path, 3)[:2])
    summary = batch.run()
    assert sum(summary.counts.values()) == 2 and summary.made == 0
    assert len(json.loads((Path(batch.out) / "report.json").read_text())["items"]) == 2


def broken_rows(folder: Path, count: int, *broken: int) -> list[dict[str, Any]]:
    rows = make_rows(folder, count)
    for i in broken:
        (folder / f"motion{i}.npz").write_bytes(b"PK but no motion")
    return rows


def test_bad_input_fails_once_and_is_explained(make_batch: MakeBatch, tmp_path: Path) -> None:
    batch, seen = make_batch(broken_rows(tmp_path, 3, 1)), []
    summary = batch.run([seen.append])
    assert (summary.counts["done"], summary.counts["failed"]) == (2, 1)
    names = [event.name for event in seen]
    assert names == ["started", "done", "failed", "done"]
    assert "is not a motion file" in seen[2].data["error"]
    assert batch.run().counts["failed"] == 1
    assert replace(batch, keep_failed=True).run().skipped == 3
    make_rows(tmp_path, 3)
    assert batch.run().complete


@pytest.mark.parametrize(
    ("config", "left"),
    [(BatchConfig(fail_fast=True), 4), (BatchConfig(max_failures=1), 2), (BatchConfig(), 0)],
)
def test_it_stops_at_failures(
    make_batch: MakeBatch, tmp_path: Path, config: BatchConfig, left: int
) -> None:
    summary = make_batch(broken_rows(tmp_path, 6, 1, 3, 5), config=config).run()
    assert summary.counts["pending"] == left
    assert (summary.stopped is not None) == (left > 0)


def test_only_one_batch_works_on_a_ledger(make_batch: MakeBatch) -> None:
    batch = make_batch(1)
    with Ledger(batch.ledger_path), pytest.raises(StateError, match="another batch is at work"):
        batch.run()
    assert batch.run().complete


def test_a_damaged_ledger_is_said(make_batch: MakeBatch) -> None:
    batch = make_batch(1)
    Path(batch.out).mkdir()
    batch.ledger_path.write_bytes(b"this is no database" * 100)
    with pytest.raises(OutputError, match=r"the ledger .* is damaged"):
        batch.run()


def test_the_ledger_is_in_wal_mode_and_holds_what_was_asked(make_batch: MakeBatch) -> None:
    batch = make_batch(1)
    batch.run()
    with sqlite3.connect(batch.ledger_path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.row_factory = sqlite3.Row
        item = dict(db.execute("SELECT * FROM items").fetchone())
    assert item["state"] == "done" and item["attempts"] == 1 and item["seconds"] > 0
    assert len(item["key"]) == len(item["sha256"]) == 64
    assert all(len(value) == 64 for value in json.loads(item["inputs"]).values())
    assert json.loads(item["result"])["weights"]["denoiser"]
    assert item["thumbnail"].startswith(b"\xff\xd8")


def results_of(batch: Batch) -> list[dict[str, Any]]:
    """What the ledger has of each video."""
    with sqlite3.connect(batch.ledger_path) as db:
        return [json.loads(result) for (result,) in db.execute("SELECT result FROM items")]


def test_every_video_is_marked_signed_and_written_down(make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    assert batch.run().complete
    told = [result["provenance"] for result in results_of(batch)]
    assert len({one["id"] for one in told}) == 2 and all(one["watermark"] for one in told)
    entries = {entry["id"] for entry in Log(Provenance().place).entries()}
    assert {one["id"] for one in told} <= entries
    if credentials.missing() is None:
        assert {one["signed"] for one in told} == {"embedded"}
        made = sorted(Path(batch.out).rglob("*.mp4"))
        known = [credentials.read(path, Provenance().anchors) for path in made]
        assert {one.id for one in known if one is not None} == {one["id"] for one in told}
        assert all(one is not None and one.state == "trusted" for one in known)


# -- a long video in parts -----------------------------------------------------------------------


def test_cuts_are_in_pauses() -> None:
    speech = [(0.0, 9.0), (10.0, 19.0), (21.0, 40.0)]
    assert cut_at_silence(1000, 25.0, 10.0, speech) == (
        (0, 238),
        (238, 500),
        (500, 750),
        (750, 1000),
    )
    assert cut_at_silence(100, 25.0, 10.0, speech) == ((0, 100),)
    assert cut_at_silence(1000, 25.0, 20.0, []) == ((0, 500), (500, 1000))


def test_a_part_is_asked_for_as_the_whole_is() -> None:
    """Nothing of how a video is drawn gets lost, whatever fields there come to be."""
    changed: dict[str, Any] = {
        "portrait": "a.png",
        "size": 128,
        "quality": "draft",
        "face": "leftmost",
        "crop": "head",
        "mix": "both",
        "seed": 7,
        "background": "blur",
        "aspect": "1:1",
        "format": "mov",
        "label": "made with AI",
        "consent": "agreed",
    }
    others: list[dict[str, Any]] = [{"background_picture": "b.png"}, {"renderer": "aniportrait"}]
    drawing = {f.name for f in fields(RenderRequest)} - {f.name for f in fields(MotionRequest)}
    known = {*changed, *(name for other in others for name in other)}
    of_the_whole = {"motion", "fps", "trim", "subtitles"}
    assert known == drawing - of_the_whole | {"seed"}
    motion = Motion.neutral(9, 30.0)
    asked: list[dict[str, Any]] = [changed, *({"portrait": "a.png", **other} for other in others)]
    for one in asked:
        whole = RenderRequest(
            text="Hi.",
            voice="de",
            emotion="happiness",
            fps=30.0,
            trim="0:2",
            subtitles="file",
            **one,
        )
        part, skip = part_request(whole, motion, (4, 7), 1)
        assert {name: getattr(part, name) for name in one} == one
        assert isinstance(part.motion, Motion) and len(part.motion) == 4 and skip == 1
        assert part.fps == 30.0 and not part.has_voice and part.emotion == "neutral"
        assert part.trim is None and part.subtitles == "none"


@pytest.mark.slow
def test_parts_of_a_clear_video_are_clear_and_trimmed_once_with_subtitles_beside(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    import av

    from audio2motion.voice.synthesis import synthesize

    said = synthesize("Hello there, how are you today? I am well.")
    said.save(tmp_path / "voice.wav")
    words = [{"word": "Hello there.", "start": 0.3, "end": 1.0}]
    (tmp_path / "words.json").write_text(json.dumps(words))
    row = {"portrait": "portrait.png", "agent_audio": "voice.wav", "transcript": "words.json"}
    row |= {"subtitles": "file", "trim": "0.2:2.2", "background": "transparent"}
    batch = make_batch([{**row, "output": "v.webm"}])
    batch = replace(batch, config=BatchConfig(split=1.0))
    assert batch.run().complete
    result = results_of(batch)[0]
    assert result["parts"] > 1 and result["frames"] == 50
    assert [cue["text"] for cue in result["subtitles"]] == ["Hello there."]
    out = Path(batch.out)
    if credentials.missing() is None:
        assert result["provenance"]["signed"] == "sidecar" and (out / "v.webm.c2pa").is_file()
    assert (out / "v.vtt").read_text().splitlines()[2].startswith("00:00:00.100 --> 00:00:01.")
    with av.open(str(out / "v.webm")) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [*container.demux(stream)]
        frames = [f for p in packets for f in decoder.decode(p if p.size else None)]
    assert len(frames) == 50
    assert all(frame.to_ndarray(format="rgba")[1, 1, 3] < 10 for frame in frames)


@pytest.mark.slow
@pytest.mark.parametrize(("fps", "quality"), [(25.0, "live"), (29.97, "draft")])
def test_parts_are_the_whole(
    make_batch: MakeBatch, tmp_path: Path, tiny_avatar: TinyAvatar, fps: float, quality: str
) -> None:
    """Frames before encoding bit for bit, every sample of the sound, and no seam in the file."""
    from audio2motion.hearing.audio import Waveform
    from audio2motion.voice.synthesis import synthesize

    said = synthesize("Hi.").samples
    pause = np.zeros(8000, np.float32)
    Waveform(np.concatenate([said, pause, said])).save(tmp_path / "voice.wav")
    Waveform(np.concatenate([said, pause])).save(tmp_path / "other.wav")
    row = {"portrait": "portrait.png", "agent_audio": "voice.wav", "seed": 5, "fps": fps}
    row["interlocutor_audio"] = "other.wav"
    row["quality"] = quality
    whole = make_batch([{**row, "output": "v.mp4"}])
    parts = replace(whole, out=f"{whole.out}-parts", config=BatchConfig(split=1.0))
    assert whole.run().complete and parts.run().complete
    report = json.loads((Path(parts.out) / "report.json").read_text())
    one, two = (Path(batch.out) / "v.mp4" for batch in (whole, parts))
    assert not list(Path(parts.out).glob(".*"))
    told = [results_of(batch)[0] for batch in (whole, parts)]
    assert told[1]["parts"] > 1 and told[0]["order"] == "turns" and told[0]["agent_start"] > 0.2
    for name in ("order", "agent_start", "notices", "sync_offset_ms"):
        assert told[0][name] == told[1][name], name
    checks = [{c["name"]: c for c in one["report"]["checks"]} for one in told]
    assert checks[0].keys() == checks[1].keys() and checks[0]["lips and voice agree"]["bar"]
    assert abs(checks[1]["length beside what was planned"]["value"]) < 0.05
    for name, check in checks[0].items():
        if name not in ("flicker", "identity", "length beside what was planned"):
            assert check == checks[1][name], "one report of the whole"

    video: dict[str, Any] = {
        "portrait": tmp_path / "portrait.png",
        "size": 64,
        "seed": 5,
        "fps": fps,
        "quality": quality,
        "agent_audio": tmp_path / "voice.wav",
        "interlocutor_audio": tmp_path / "other.wav",
    }
    request = RenderRequest(**video)
    motion = perform(tiny_avatar, request, lambda notice: None).whole()
    cuts = cut_at_silence(len(motion), motion.fps, 1.0, [])
    assert len(cuts) >= 2
    serial = np.stack(list(tiny_avatar.frames(**video)))
    asked = [part_request(request, motion, cut, 0)[0] for cut in cuts]
    drawn = [frame for part in asked for frame in tiny_avatar.frames(part)]
    assert np.array_equal(serial, np.stack(drawn))

    infos = probe(one), probe(two)
    for name in ("frames", "fps", "size", "video_seconds", "audio_seconds", "video_start"):
        assert getattr(infos[0], name) == getattr(infos[1], name), name
    assert np.array_equal(Waveform.load(one).samples, Waveform.load(two).samples)
    with read_video(one) as a, read_video(two) as b:
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert np.abs(x.astype(int) - serial[i]).mean() < 4
            assert np.abs(y.astype(int) - serial[i]).mean() < 4
    assert report["summary"]["frames"] == len(serial)


# -- what it tells -------------------------------------------------------------------------------


class _Addresses(HTMLParser):
    """What a page would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object")
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_report(make_batch: MakeBatch, tmp_path: Path) -> None:
    rows = broken_rows(tmp_path, 3, 1)
    rows[0]["output"] = "a <b>&'.mp4"
    batch = make_batch(rows)
    batch.run()
    page = (Path(batch.out) / "report.html").read_text()
    parser = _Addresses()
    parser.feed(page)
    pictures = [a for a in parser.found if a.startswith("data:image/jpeg;base64,")]
    links = [a for a in parser.found if not a.startswith("data:")]
    assert len(pictures) == len(links) == 2 and "http" not in re.sub("http-equiv", "", page)
    assert "<b>" not in page and "a &lt;b&gt;&amp;" in page
    assert page.count("<svg") == 4 and "is not a motion file" in page
    data = json.loads((Path(batch.out) / "report.json").read_text())
    assert (data["summary"]["done"], data["summary"]["failed"]) == (2, 1)


def test_metrics(make_batch: MakeBatch, tmp_path: Path) -> None:
    file = tmp_path / "batch.prom"
    with metrics(0, "127.0.0.1", file) as listen:
        make_batch(broken_rows(tmp_path, 3, 1)).run([listen])
    text = file.read_text()
    assert 'visavis_batch_items{state="done"} 2.0' in text
    assert 'visavis_batch_ends_total{what="failed"} 1.0' in text
    assert f"visavis_batch_frames_total {2 * FRAMES}.0" in text
    assert "visavis_batch_item_seconds_count 2.0" in text
    assert [path.name for path in tmp_path.glob(".batch*")] == []


def test_metrics_are_served(unused_port: int) -> None:
    with metrics(unused_port, "127.0.0.1", None) as listen:
        listen(Event("started", {"pending": 3}, data={"engine": "here", "workers": 1}))
        with urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/metrics", timeout=5) as got:
            text = got.read().decode()
        assert 'visavis_batch_items{state="pending"} 3.0' in text
        with (
            pytest.raises(OutputError, match="choose another port"),
            metrics(unused_port, "127.0.0.1", None),
        ):
            pass


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


# -- the command ---------------------------------------------------------------------------------


def command(batch: Batch, *words: object) -> int:
    defaults = ("--size", "64", "--workers", "0", "--avatar", FACTORY)
    return cli.main(["batch", batch.manifest, "--out", batch.out, *defaults, *map(str, words)])


def test_the_command(
    make_batch: MakeBatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = make_batch(broken_rows(tmp_path, 3, 1))
    assert command(batch, "--json") == 1
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["started", "done", "failed", "done", "ended"]
    assert lines[1]["output"] == "000001.mp4" and lines[1]["row"] == 1
    assert "note: row 2 (000002.mp4) failed: " in err
    make_rows(tmp_path, 3)
    assert command(batch) == 0
    assert capsys.readouterr().out.startswith("3 of 3 videos are in ")


def test_errors_come_before_any_work(
    make_batch: MakeBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = make_batch([{"portrait": "portrait.png", "text": "Hi"}, {"portrait": "portrait.png"}])
    assert command(batch) == 2
    out, err = capsys.readouterr()
    assert out == "" and "row 2: nothing was given to move the face" in err
    assert not Path(batch.out).exists()


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_says_what_it_will_take(
    make_batch: MakeBatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*make_rows(tmp_path, 2), {"portrait": "portrait.png", "text": "a" * 28}]
    batch = make_batch(rows)
    assert command(batch, "--dry-run", "--price", 3600, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["wanted"], found["unknown_lengths"]) == (3, 3, 0)
    assert found["video_seconds"] == pytest.approx(2 * FRAMES / 25 + 2.6)
    assert found["frames"] == 2 * FRAMES + 65 and found["frames_per_second"] > 0
    assert found["price"] == pytest.approx(found["work_seconds"], rel=0.1, abs=0.1)
    assert not Path(batch.out).exists()
    make_batch(rows[:2]).run()
    ledger = (Path(batch.out) / LEDGER).read_bytes()
    assert command(make_batch(rows), "--dry-run") == 0
    assert capsys.readouterr().out.startswith("1 of 3 videos are to be made: 2.6 s of video")
    assert (Path(batch.out) / LEDGER).read_bytes() == ledger


@pytest.mark.slow
def test_what_was_measured_before_is_used(make_batch: MakeBatch, tmp_path: Path) -> None:
    batch = make_batch(10)
    batch.run()
    found = replace(batch, manifest=str(more_rows(tmp_path))).estimate()
    assert found.wanted == 2 and found.cost.source == "10 videos in the ledger"
    assert 0 < found.work_seconds < 60


def more_rows(folder: Path) -> Path:
    rows = [{**row, "output": f"more{row['seed']}.mp4"} for row in make_rows(folder, 2)]
    done = [{**row, "output": f"{i + 1:06d}.mp4"} for i, row in enumerate(make_rows(folder, 10))]
    return write_manifest(folder / "more.jsonl", [*done, *rows])


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchConfig(retry=-1),
        lambda: BatchConfig(max_failures=-1),
        lambda: BatchConfig(split=0.0),
        lambda: EngineOptions(workers=-1),
        lambda: EngineOptions(timeout=0.0),
        lambda: EngineOptions("ray", cpus=-1.0),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        make()
