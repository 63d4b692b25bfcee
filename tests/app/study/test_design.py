"""Who sees what: every pair equally often, sides balanced, nothing that gives a system away."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from app.study.design import make_study, plan
from weights.errors import InputError, OutputError


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("ours", "theirs", "old")]
    for folder in made:
        folder.mkdir()
        for clip in ("a", "b"):
            (folder / f"{clip}.mp4").write_bytes(f"{folder.name} {clip}".encode())
    return made


def test_balance():
    trials = plan(["a", "b", "c", "d"], ["x", "y", "z"], raters=6, each=8, seed=1)
    assert [len(rater) for rater in trials] == [8] * 6
    seen = Counter((t.clip, *sorted((t.left, t.right))) for rater in trials for t in rater)
    assert len(seen) == 12 and set(seen.values()) == {4}
    for rater in trials:
        assert len({(t.clip, *sorted((t.left, t.right))) for t in rater}) == 8
        sides = Counter((t.left, t.right) for t in rater)
        assert all(abs(sides[a, b] - sides[b, a]) <= 1 for a, b in sides)
    lefts = Counter(t.left for rater in trials for t in rater)
    assert max(lefts.values()) - min(lefts.values()) <= 6
    assert plan(["a"], ["x", "y"], 2, 50, 0)[0][0].clip == "a"  # no more than there are


def test_the_page_is_blind_and_the_key_is_not(folders: list[Path], tmp_path: Path):
    out = tmp_path / "study"
    assert make_study(folders, out, raters=3, each=4, title="Rate <us>") == 4
    page = (out / "page" / "index.html").read_text()
    names = {path.name for path in (out / "page").iterdir()}
    assert len(names) == 7
    # A drawn name may end with an `a`: only where a name begins with it is it the clip's own.
    assert not re.search(r"ours|theirs|old\.|\b[ab]\.mp4", page + " ".join(names))
    assert "Rate &lt;us&gt;" in page
    key = json.loads((out / "key.json").read_text())
    assert key["systems"] == ["ours", "theirs", "old"] and len(key["trials"]) == 12
    with pytest.raises(OutputError, match="there already"):
        make_study(folders, out)


def test_wrong_folders_are_told(folders: list[Path], tmp_path: Path):
    with pytest.raises(InputError, match="two folders"):
        make_study(folders[:1], tmp_path / "s")
    (folders[1] / "b.mp4").unlink()
    with pytest.raises(InputError, match="theirs has other videos"):
        make_study(folders, tmp_path / "s")
    with pytest.raises(InputError, match="no folder"):
        make_study([*folders, tmp_path / "none"], tmp_path / "s")
    assert not (tmp_path / "s").exists()
