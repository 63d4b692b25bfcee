"""The manifest: three formats, the words and their types, every problem by its row."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app.batch import manifest as m
from app.batch.manifest import ManifestError, Schema, read_manifest
from app.render.knobs import Knob, Setting
from app.render.request import RenderRequest
from tests.app.batch.conftest import write_manifest
from weights.errors import InputError, MediaError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("me.jpg", "a.wav", "b.wav", "c.mp4", "m.npz"):
        (tmp_path / name).write_bytes(b"is there")
    return tmp_path


def read(folder: Path, *rows: dict[str, Any], **defaults: Any) -> list[m.Item]:
    return read_manifest(str(write_manifest(folder / "rows.jsonl", list(rows))), defaults)


def test_a_row_is_what_render_takes(folder: Path) -> None:
    row = {
        "portrait": "me.jpg",
        "agent_audio": "a.wav",
        "interlocutor_audio": str(folder / "b.wav"),
        "interlocutor_video": "c.mp4",
        "emotion": "happiness",
        "expressivity": 1,
        "renderer": "embedded",
        "seed": 7,
        "output": "one/two.mp4",
    }
    (item,) = read(folder, row, size=256)
    assert (item.row, item.output) == (1, "one/two.mp4")
    request = item.request()
    assert request.portrait == str(folder / "me.jpg")
    assert request.interlocutor_audio == str(folder / "b.wav")
    assert (request.emotion, request.expressivity, request.seed) == ("happiness", 1.0, 7)
    assert request.size == 256
    assert set(item.files) == {
        "portrait",
        "agent_audio",
        "interlocutor_audio",
        "interlocutor_video",
    }


def test_three_formats_say_the_same(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = [
        {"portrait": "me.jpg", "text": "Hello, you.", "seed": 3, "size": 128, "motion": None},
        {"portrait": "me.jpg", "text": None, "seed": None, "size": 64, "motion": "m.npz"},
    ]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")
    lines = read(folder, *({k: v for k, v in row.items() if v is not None} for row in rows))
    for name in ("rows.csv", "rows.parquet"):
        assert read_manifest(str(folder / name), {}) == lines
    assert [item.output for item in lines] == ["000001.mp4", "000002.mp4"]


def test_every_field_of_a_request_is_a_word() -> None:
    """A field that is added later is a word without a change here, and files are known as such."""
    schema = Schema()
    assert {f.name for f in fields(RenderRequest)} < set(schema.words)
    assert {"renderer", "output"} <= set(schema.words)
    described = RenderRequest(portrait="portrait.file", agent_audio="agent_audio.file").inputs
    assert {"portrait", "agent_audio", "motion"} <= set(schema.files)
    assert {path.stem for path in described} <= set(schema.files)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "Hi"}, "it has no portrait"),
        ({"portrait": "me.jpg"}, "nothing was given to move the face"),
        ({"portrait": "me.jpg", "txt": "Hi"}, "there is no word 'txt'"),
        ({"portrait": "me.jpg", "text": 3}, "got 3 for text; wanted text"),
        ({"portrait": "me.jpg", "text": "Hi", "seed": 1.5}, "got 1.5 for seed; wanted a whole"),
        ({"portrait": "me.jpg", "text": "Hi", "seed": "x"}, "got 'x' for seed; wanted a number"),
        ({"portrait": "me.jpg", "text": "Hi", "seed": True}, "got True for seed"),
        ({"portrait": "me.jpg", "text": "Hi", "emotion": "hungry"}, "hungry"),
        ({"portrait": "me.jpg", "text": "Hi", "fps": 0}, "wanted 1 to 240"),
        ({"portrait": "me.jpg", "text": "Hi", "renderer": "other"}, "got the renderer 'other'"),
        ({"portrait": "me.jpg", "text": "Hi", "crop": "body"}, "got the crop 'body'"),
        ({"portrait": "me.jpg", "agent_audio": "z.wav"}, "agent_audio: there is no file"),
        ({"portrait": "me.jpg", "text": "Hi", "output": "../x.mp4"}, "below the folder"),
        ({"portrait": "me.jpg", "text": "Hi", "output": "/x.mp4"}, "below the folder"),
        ({"portrait": "me.jpg", "text": "Hi", "output": ".x.mp4"}, "not hidden"),
        ({"portrait": "me.jpg", "text": "Hi", "output": "x.avi"}, "must end in .mp4"),
        ({"portrait": "me.jpg", "text": "Hi", "output": 5}, "got the output 5"),
        (["portrait"], "got list; wanted an object"),
    ],
)
def test_what_a_row_cannot_be(folder: Path, row: Any, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(folder, {"portrait": "me.jpg", "text": "Fine."}, row)
    ((number, sentence),) = caught.value.problems
    assert number == 2 and said in sentence
    assert "row 2: " in str(caught.value)


def test_all_problems_come_at_once(folder: Path) -> None:
    rows = [
        {"portrait": "me.jpg", "text": ""},
        {"portrait": "me.jpg", "text": "Hi", "output": "a.mp4"},
    ]
    rows += [
        {"portrait": "me.jpg", "text": "Yes", "output": "a.mp4"},
        {"portrait": "no.jpg", "text": "Hi"},
    ]
    with pytest.raises(ManifestError) as caught:
        read(folder, *rows)
    assert [row for row, _ in caught.value.problems] == [1, 3, 4]
    assert "its output a.mp4 is also that of row 2" in str(caught.value)
    with pytest.raises(ManifestError, match="and 10 more"):
        read(folder, *({"portrait": "me.jpg"} for _ in range(30)))


def test_defaults_give_way_to_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    (folder / "elsewhere" / "mine.jpg").write_bytes(b"")
    rows = [{"agent_audio": "a.wav"}, {"text": "Hi", "portrait": "me.jpg", "seed": 9}]
    rows += [{"driving_video": "c.mp4", "driving_regions": "lips", "driving_amount": 0.5}]
    one, two, three = read(folder, *rows, portrait="mine.jpg", seed=4, text="By default.")
    assert one.fields["portrait"] == str(folder / "elsewhere" / "mine.jpg")
    assert (one.fields["seed"], one.fields.get("text")) == (4, None)
    assert (two.fields["portrait"], two.fields["seed"]) == (str(folder / "me.jpg"), 9)
    assert "driving_video" in three.files and three.request().text is None


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b"{\n", "row 1: it is not JSON"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.jsonl", b"\xff\xfe", "is not UTF-8"),
        ("a.csv", b"portrait,text\nme.jpg,Hi,there\n", "row 1: it has more values"),
        ("a.csv", b'portrait,text\nme.jpg,"Hi\n', "row 1: it is not CSV"),
        ("a.parquet", b"PAR?", "is not Parquet"),
        ("a.txt", b"", "wanted .jsonl, .csv or .parquet"),
    ],
)
def test_a_manifest_that_is_none(folder: Path, name: str, data: bytes, said: str) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_manifest(str(folder / name), {})


def test_a_manifest_that_is_not_there(folder: Path) -> None:
    with pytest.raises(MediaError, match="there is no file"):
        read_manifest(str(folder / "no.jsonl"), {})


def test_types_that_fields_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, mappings, yes and no: as JSON values, and as text in a CSV."""
    schema = Schema()
    schema.fields = {
        name: Setting(name, kind, None, Knob("A field."))
        for name, kind in {
            "regions": Mapping[str, float] | None,
            "gaze": str | tuple[float, float] | None,
            "gestures": Sequence[str] | None,
            "auto": bool,
            "valence": float | None,
        }.items()
    }
    assert schema.read("regions", {"head": 0.5}) == {"head": 0.5}
    assert schema.read("regions", ["head=0.5", "eyes=1"]) == {"head": 0.5, "eyes": 1.0}
    assert schema.read("regions", '{"head": 0.5}') == {"head": 0.5}
    assert schema.read("regions", "head=0.5; eyes=1") == {"head": 0.5, "eyes": 1.0}
    assert schema.read("gaze", [10, -5]) == (10, -5)
    assert schema.read("gaze", "[10, -5]") == (10, -5)
    assert schema.read("gaze", "camera") == "camera"
    assert schema.read("gestures", ["nod@1"]) == ["nod@1"]
    assert schema.read("gestures", "nod@1; blink@2") == ["nod@1", "blink@2"]
    assert schema.read("auto", "no") is False and schema.read("auto", True) is True
    assert schema.read("valence", "-0.5") == -0.5 and schema.read("valence", 1) == 1.0
    for name, value in (
        ("auto", "maybe"),
        ("auto", 2),
        ("regions", 3),
        ("gestures", "[x"),
        ("valence", [1]),
    ):
        with pytest.raises(InputError, match=f"for {name}"):
            schema.read(name, value)


def test_json_numbers_keep_their_kind(folder: Path) -> None:
    (item,) = read(
        folder, json.loads('{"portrait": "me.jpg", "text": "Hi", "seed": 3.0, "fps": 30}')
    )
    assert item.fields["seed"] == 3 and isinstance(item.fields["seed"], int)
    assert item.fields["fps"] == 30.0 and isinstance(item.fields["fps"], float)
