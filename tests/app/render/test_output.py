"""Places that a result cannot go to are refused before any work."""

import os
from pathlib import Path

import pytest

from app.render.output import check_output
from weights.errors import OutputError


def test_a_new_file_in_a_folder_is_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "a.mp4", (".mp4",), [tmp_path / "nothing.jpg"])
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    check_output(tmp_path / "a.mp4", (".mp4",))
    assert (tmp_path / "a.mp4").read_bytes() == b"x"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(OutputError, match=r"a\.mp4 is a folder"):
        check_output(tmp_path / "a.mp4", (".mp4",))


def test_a_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_output(tmp_path / "no" / "a.mp4", (".mp4",))
    assert not (tmp_path / "no").exists()


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(tmp_path / "file" / "a.mp4", (".mp4",))


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"must end in \.mp4 or \.mov"):
        check_output(tmp_path / "a.gif", (".mp4", ".mov"))


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    with pytest.raises(OutputError, match="is also an input"):
        check_output(tmp_path / "link.mp4", (".mp4",), [tmp_path / "a.mp4"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_output(tmp_path / "a.mp4", (".mp4",))
