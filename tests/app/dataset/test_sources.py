"""What there is to import: videos, and pairs by their names or by a list."""

from pathlib import Path

import pytest

from app.dataset.sources import pairs_of, videos_of, with_lengths
from weights.errors import InputError


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_videos_of_a_folder_and_those_in_it(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4", "ann/a.mp4", "ann/b b.MOV", "notes.txt", ".hidden.mp4", "ann/voice.wav")
    found = videos_of(tmp_path)
    assert [one.source for one in found] == ["a.mp4", "ann/a.mp4", "ann/b b.MOV"]
    assert len({one.id for one in found}) == 3, "two files of one name are two recordings"
    by_folder = videos_of(tmp_path, "folder")
    assert [one.people[0] for one in by_folder[1:]] == ["ann", "ann"]
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert [one.id for one in videos_of(moved)] == [one.id for one in found]


def test_pairs_by_their_names(tmp_path: Path) -> None:
    put(tmp_path, "one_a.mp4", "one_b.mp4", "two-left.wav", "two-right.wav", "call.mp4", "x_a.mp4")
    found = {one.source: one for one in pairs_of(tmp_path)}
    assert set(found) == {
        "one_a.mp4 + one_b.mp4",
        "two-left.wav + two-right.wav",
        "call.mp4",
        "x_a.mp4",
    }
    assert found["one_a.mp4 + one_b.mp4"].kind == "pair"
    assert found["call.mp4"].kind == found["x_a.mp4"].kind == "channels"
    with pytest.raises(InputError, match="NAME_a"):
        pairs_of(tmp_path / "none" if (tmp_path / "none").mkdir() is None else tmp_path)


def test_pairs_by_a_list(tmp_path: Path) -> None:
    put(tmp_path, "x.mp4", "y.mp4")
    table = tmp_path / "pairs.csv"
    table.write_text("\ufefffirst,second,offset,first_person\nx.mp4,y.mp4,-0.4,Ann B\n")
    (one,) = pairs_of(table)
    assert one.offset == -0.4 and one.people[0] == "Ann-B" and one.people[1].endswith("-b")
    for text, why in (
        ("a,b\n", "wanted first and second"),
        ("first,second\nx.mp4,z.mp4\n", "line 2 of .* not there"),
        ("first,second,offset\nx.mp4,y.mp4,soon\n", "offset 'soon'"),
        ("first,second,offset\nx.mp4,y.mp4,nan\n", "offset nan"),
        ("first,second\n", "lists no pair"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=why):
            pairs_of(table)


def test_stamps_change_with_the_files(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4")
    (before,) = with_lengths(videos_of(tmp_path))
    assert before.seconds == 0, "what cannot be read is the import's to explain"
    (tmp_path / "a.mp4").write_bytes(b"longer")
    (after,) = with_lengths(videos_of(tmp_path))
    assert before.stamp != after.stamp
