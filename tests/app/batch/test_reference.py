"""A batch makes videos of public checkpoints as a whole, whatever `--split` says."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.batch.manifest import Item
from app.batch.segments import do_part
from app.batch.work import Place, Task, Worker
from app.render.parts import Later
from motion2video.motion import Motion
from tests.app.batch.tiny import TinyAvatar
from tests.app.render.test_reference import tiny_reference


@pytest.mark.slow
def test_videos_of_a_checkpoint_are_not_split(
    tiny: Path, tiny_avatar: TinyAvatar, tmp_path: Path
) -> None:
    motion = Motion.neutral(30).save(tmp_path / "m.npz")
    fields = {"portrait": str(tiny / "portrait.png"), "motion": str(motion), "size": 64}
    item = Item(1, "a.mp4", {**fields, "renderer": "aniportrait"}, ("portrait", "motion"))
    avatar = replace(tiny_avatar, references={"aniportrait": Later(tiny_reference)})
    out = tmp_path / "out"
    out.mkdir()
    worker = Worker("here", avatar, Place(str(out), str(tmp_path / "staging")), split=1.0)
    made, cuts = do_part(worker, Task(item, "key", "motion"))
    assert cuts == () and made is not None and made.result["frames"] == 30
    assert made.result["settings"]["renderer"] == "aniportrait"
