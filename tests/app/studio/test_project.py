"""After an edit only the frames that changed are drawn; all others are the ones from before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import app.studio.editor as editor
from app.jobs.errand import Errand
from app.render.pipeline import Avatar
from app.render.request import RenderRequest
from app.studio import history
from app.studio.creation import create, render_edit, reopen
from app.studio.editor import Take
from app.studio.frame_cache import FrameCache
from app.studio.made import Sheet
from app.studio.project import Project, open_project
from app.studio.workshop import Page, Workshop
from motion2video.geometry.basis import FaceBasis
from motion2video.geometry.retarget import PortraitFace
from motion2video.media.video import probe, read_video
from motion2video.motion import MOTION_DIM, Motion, Rest, channel_index
from motion2video.portrait.portrait import Portrait
from tests.app.studio.shop import open_shop
from weights.errors import InputError


def test_a_frame_is_found_by_its_motion_bit_for_bit(tmp_path: Path):
    rng = np.random.default_rng(0)
    photo, frame = rng.integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    rows = rng.normal(size=(3, MOTION_DIM)).astype(np.float32)
    cache = FrameCache(tmp_path, photo)
    cache.put(rows[0], frame)
    found = cache.get(rows[0])
    assert found is not None
    assert np.array_equal(found, frame)
    assert cache.get(rows[1]) is None
    assert cache.missing(Motion(rows[[0, 1, 0]])).tolist() == [False, True, False]
    assert len(FrameCache(tmp_path, photo)) == 1
    cache.remove()
    assert len(cache) == 0


def test_only_missing_frames_are_drawn(tmp_path: Path):
    photo = np.zeros((4, 4, 3), np.uint8)
    asked: list[int] = []

    def draw(motion: Motion):
        asked.append(len(motion))
        return (np.full_like(photo, round(100 * row[0])) for row in motion.values)

    values = np.zeros((6, MOTION_DIM), np.float32)
    values[:, 0] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    cache = FrameCache(tmp_path, photo)
    first = list(cache.frames(Motion(values), draw))
    values[2:4, 0] = 0.9, 0.3
    second = list(cache.frames(Motion(values), draw))
    assert asked == [6, 1]  # the row with .3 was known from elsewhere in the clip
    assert [fresh for fresh, _ in second] == [False, False, True, False, False, False]
    assert [int(f[0, 0, 0]) for _, f in second] == [10, 20, 90, 30, 50, 60]
    assert all(fresh for fresh, _ in first)


@pytest.fixture
def workshop(avatar: Avatar, tmp_path: Path):
    """A workshop with the real networks."""
    with open_shop(tmp_path, lambda: avatar) as shop:
        yield shop


def make_video(workshop: Workshop, page: Page, request: RenderRequest) -> Errand:
    """A finished errand."""
    run = workshop.submit(page, lambda run: create(workshop, page, request, run))
    assert run.wait(120.0)
    return run


SHEET = Sheet("Form", {}, {})


def frames_of(project: Project, avatar: Avatar) -> list[np.ndarray]:
    return [frame.copy() for _, frame in project.frames(avatar)]


def test_what_was_made_before_can_be_edited_again(workshop: Workshop, portrait: Path, voice: Path):
    """Its motion is that of the video, though the page that made it is gone with its frames."""
    request = RenderRequest(portrait=portrait, agent_audio=voice, size=96, seed=3)
    first, shelf = workshop.page("first", "anna"), workshop.shelf("anna")
    run = make_video(workshop, first, request)
    made = history.keep(shelf, run.result, SHEET, {}, b"")
    workshop.leave("first")
    page = workshop.page("second", "anna")
    opened = workshop.submit(page, lambda run: reopen(workshop, page, request, made, SHEET, run))
    assert opened.wait(60.0) and opened.state == "succeeded", opened.look().error
    project = page.project
    assert project is opened.result
    one = made.creation
    total = one.result.frames
    assert np.array_equal(project.take.motion.values, Motion.load(one.motion).values)
    assert project.stale() == [(0, total)]
    edited = workshop.submit(page, lambda run: render_edit(workshop, page, project, run))
    assert edited.wait(60.0) and edited.result.edited.drawn == total
    assert project.stale() == []
    long = replace(made, creation=replace(one, editable=False))
    refused = workshop.submit(page, lambda run: reopen(workshop, page, request, long, SHEET, run))
    assert refused.wait(5.0) and "cannot be edited" in str(refused.look().error)


@pytest.mark.slow
def test_an_edited_range_is_drawn_and_the_rest_is_bit_identical(
    workshop: Workshop, avatar: Avatar, portrait: Path, voice: Path, tmp_path: Path
):
    page = workshop.page("visitor")
    request = RenderRequest(portrait=portrait, agent_audio=voice, size=160, seed=3)
    run = make_video(workshop, page, request)
    assert run.state == "succeeded", run.look().error
    assert probe(run.result.video).audio_codec == "aac"
    assert len(Motion.load(run.result.motion)) == run.result.result.frames
    project = page.project
    assert project is not None
    assert project.stale() == []
    before = frames_of(project, avatar)

    project.edit(lambda take: editor.shift(take, "head yaw", 0.2, 0.4, 8.0))
    assert project.stale() == [(5, 10)]
    edited = workshop.submit(page, lambda run: render_edit(workshop, page, project, run))
    assert edited.wait(120.0), edited.look().error
    assert edited.result.edited.drawn == 5
    after = frames_of(project, avatar)
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [not 5 <= i < 10 for i in range(len(before))]
    with read_video(edited.result.video) as video:
        assert sum(1 for _ in video) == len(before)

    # What was put together is what drawing everything would give.
    fresh = avatar.renderer.stream(project.portrait, [project.take.motion], seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(after, fresh, strict=True))

    project.undo()
    assert project.stale() == []
    with pytest.raises(InputError, match="no edit to undo"):
        project.undo()
    project.redo()
    project.edit(lambda take: editor.trim(take, 0.2, 0.6))
    assert project.stale() == []


@pytest.mark.slow
def test_a_photo_moved_from_a_persons_rest_is_so_after_an_edit_too(
    workshop: Workshop, avatar: Avatar, portrait: Path, tmp_path: Path
):
    """A tracked motion of the person, who smiles in the photo, which must not count twice."""
    seen, basis = Portrait.load(portrait, tracker=avatar.tracker).face, FaceBasis.load()
    smile = np.zeros((2, MOTION_DIM), np.float32)
    smile[1, channel_index("mouthSmileLeft")] = smile[1, channel_index("jawOpen")] = 0.4
    person = PortraitFace.fit(seen.landmarks, seen.expression, basis).points
    person = person - basis.offsets(smile)[1]
    rest = Rest(person, np.zeros(3, np.float32), np.zeros(3, np.float32), 100.0)
    motion = Motion(smile, rest=rest).save(tmp_path / "tracked.npz")
    page = workshop.page("visitor")
    request = RenderRequest(portrait=portrait, motion=motion, size=160)
    run = make_video(workshop, page, request)
    assert run.state == "succeeded", run.look().error
    project = page.project
    assert project is not None
    drawn = frames_of(project, avatar)
    project.cache.remove()
    project.cache.folder.mkdir()
    again = frames_of(project, avatar)
    assert Motion.load(run.result.motion).rest is not None
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))


def test_a_video_that_drives_the_photo_can_be_edited(
    workshop: Workshop, portrait: Path, driving: Path
):
    page = workshop.page("visitor")
    request = RenderRequest(portrait=portrait, driving_video=driving, size=64, quality="draft")
    run = make_video(workshop, page, request)
    assert run.state == "succeeded", run.look().error
    project = page.project
    assert project is not None and project.driver is not None and project.stale() == []
    assert Motion.load(run.result.motion).rest is not None, "it still is the person's"
    assert project.voices.agent is not None and project.voices.agent.has_speech
    made = history.keep(workshop.shelf("visitor"), run.result, SHEET, {}, b"")
    again = workshop.submit(page, lambda run: reopen(workshop, page, request, made, SHEET, run))
    assert again.wait(60.0) and again.state == "succeeded", again.look().error
    reopened = page.project
    assert reopened is not None and reopened.driver is not None
    assert np.array_equal(reopened.driver.values, project.driver.values)
    assert reopened.driver.rest is not None


def test_what_was_edited_is_a_result_that_can_be_edited_on(
    workshop: Workshop, portrait: Path, voice: Path
):
    """Cut out of the middle: opened again it has the sound of there, and says what was done."""
    page, shelf = workshop.page("visitor", "anna"), workshop.shelf("anna")
    request = RenderRequest(portrait=portrait, agent_audio=voice, size=64)
    before = make_video(workshop, page, request).result
    project = page.project
    assert project is not None
    project.edit(lambda take: editor.trim(take, 0.2, 0.6))
    run = workshop.submit(page, lambda run: render_edit(workshop, page, project, run))
    assert run.wait(60.0) and run.state == "succeeded", run.look().error
    edited = run.result
    assert edited.video.name == f"{before.video.stem}-edited.mp4"
    assert (edited.result.frames, edited.result.seconds) == (10, pytest.approx(0.4))
    assert edited.result.provenance["id"] != before.result.provenance["id"]
    assert edited.result.report is None, "that is of the video before"
    made = history.keep(shelf, edited, SHEET, {}, b"")
    workshop.leave("visitor")
    page = workshop.page("later", "anna")
    again = workshop.submit(page, lambda run: reopen(workshop, page, request, made, SHEET, run))
    assert again.wait(60.0) and again.state == "succeeded", again.look().error
    reopened = page.project
    assert reopened is not None and reopened.take.edits == project.take.edits != ()
    assert reopened.take.start == pytest.approx(0.2)
    heard, heard_again = (one.voice_rows()[0].voice.samples for one in (project, reopened))
    assert np.array_equal(heard, heard_again)


def test_trim_cuts_the_sound_with_the_picture(workshop: Workshop, portrait: Path, voice: Path):
    page = workshop.page("visitor")
    request = RenderRequest(portrait=portrait, agent_audio=voice, size=64)
    assert make_video(workshop, page, request).state == "succeeded"
    project = page.project
    assert project is not None
    project.edit(lambda take: editor.trim(take, 0.2, 0.6))
    run = workshop.submit(page, lambda run: render_edit(workshop, page, project, run))
    assert run.wait(60.0), run.look().error
    assert run.result.edited.drawn == 0
    found = probe(run.result.video)
    assert found.video_seconds == pytest.approx(0.4, abs=0.01)
    assert found.audio_seconds == pytest.approx(0.4, abs=0.05)


def test_a_long_clip_has_no_project(avatar: Avatar, portrait: Path, tmp_path: Path):
    motion = Motion.neutral(25 * 31)
    request = RenderRequest(portrait=portrait, motion=motion)
    with pytest.raises(InputError, match="at most 30 s can be edited"):
        open_project(request, avatar, tmp_path, Take(motion))
