"""A visitor's batch: only uploads are read, a failure does not stop the rest, and is retried."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.intake.limits import Limits
from app.jobs.crew import Running
from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from app.studio.visitor_batch import make_all, read_upload
from app.studio.workshop import Workshop
from tests.app.studio.shop import open_shop
from weights.errors import InputError, LimitError


@pytest.fixture
def workshop(avatar: Avatar, tmp_path: Path) -> Iterator[Workshop]:
    """One with the real networks."""
    with open_shop(tmp_path, lambda: avatar) as shop:
        yield shop


def manifest(folder: Path, *rows: Mapping[str, object]) -> Path:
    path = folder / "batch.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_batch_is_made_and_what_failed_is_tried_again(
    workshop: Workshop, voice: Path, tmp_path: Path
):
    page = workshop.page("visitor")
    rows = (
        {"portrait": "default.jpg", "agent_audio": "agent.wav", "size": 64, "output": "a.mp4"},
        {"portrait": "agent.wav", "agent_audio": "agent.wav", "output": "b.mp4"},
    )
    batch = read_upload(
        [manifest(tmp_path, *rows), DEFAULT_PORTRAIT, voice], page.new_folder(), Limits()
    )

    def work(run: Running) -> object:
        return make_all(batch, lambda check: workshop.avatar(check=check), Limits(), run)

    run = workshop.submit(page, work)
    assert run.wait(60.0)
    assert [row[2] for row in batch.rows()] == ["done", "failed"]
    assert "agent.wav: it is no picture" in batch.rows()[1][3]
    assert str(tmp_path) not in batch.rows()[1][3]
    packed = batch.pack()
    assert packed is not None
    assert zipfile.ZipFile(packed).namelist() == ["a.mp4"]
    assert [entry.item.output for entry in batch.left()] == ["b.mp4"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"portrait": "/etc/passwd"}, "was not uploaded"),
        ({"portrait": "../default.jpg"}, "was not uploaded"),
        ({"portrait": "https://example.org/me.jpg"}, "was not uploaded"),
        ({"portrait": "default.jpg", "text": "Hi.", "output": "../x.mp4"}, "below the folder"),
        ({"portrait": "default.jpg", "ask": "Hi."}, "leave out ask"),
        (
            {"portrait": "default.jpg", "text": "Hi.", "llm_url": "http://me/v1"},
            "leave out llm_url",
        ),
        ({"portrait": "default.jpg", "emotion": "glee", "text": "Hi."}, "glee"),
    ],
)
def test_only_what_was_uploaded_is_read(tmp_path: Path, row: dict[str, object], words: str):
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(InputError, match=words):
        read_upload([manifest(tmp_path, row), DEFAULT_PORTRAIT], folder, Limits())


def test_every_bad_row_is_named_and_the_file_as_it_was_uploaded(tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = [
        {"portrait": "default.jpg", "text": "Hi.", "size": size, "output": f"{size}.mp4"}
        for size in (64, 4000, 4001)
    ]
    films = manifest(tmp_path, *rows).rename(tmp_path / "films.jsonl")
    with pytest.raises(LimitError) as caught:
        read_upload([films, DEFAULT_PORTRAIT], folder, Limits())
    assert all(told in str(caught.value) for told in ("films.jsonl", "row 2", "row 3"))
    wrong = [{"portrait": "default.jpg", "text": "Hi.", "emotion": e} for e in ("glee", "awe")]
    films.write_text("".join(json.dumps(row) + "\n" for row in wrong))
    another = tmp_path / "another"
    another.mkdir()
    with pytest.raises(InputError) as caught:
        read_upload([films, DEFAULT_PORTRAIT], another, Limits())
    assert all(told in str(caught.value) for told in ("films.jsonl", "row 1", "row 2", "awe"))
    assert str(tmp_path) not in str(caught.value)


def test_there_must_be_one_manifest(tmp_path: Path):
    with pytest.raises(InputError, match="got 0 manifests"):
        read_upload([DEFAULT_PORTRAIT], tmp_path, Limits())
