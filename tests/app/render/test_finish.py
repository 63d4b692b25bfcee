"""Background, shape, part and kind of file: what is taken, and what a small video comes to."""

import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from app import Avatar
from app.batch.manifest import Schema
from app.batch.segments import part_request
from app.jobs.plan import video_seconds
from app.jobs.work import suffix_of
from app.render.layout import frame_size, laid_out, read_scene, remarks
from app.render.output import check_video
from app.render.reading import HERE, Picture
from app.render.request import RenderRequest
from audio2motion.gestures.transcript import Transcript, timed_words
from audio2motion.hearing.audio import Waveform
from motion2video.media.container import probe
from motion2video.motion import Motion
from motion2video.portrait.portrait import Portrait
from weights.errors import InputError, MediaError, OutputError

GREEN = (0x10, 0xC0, 0x40)
SAID = "One two three."
pytestmark = pytest.mark.weights("face_landmarker", "autoencoder", "denoiser", "matte")


def wanted(**values: Any) -> RenderRequest:
    given: dict[str, Any] = {"portrait": "me.jpg", "text": "Hi.", **values}
    return RenderRequest(**given)


@pytest.fixture(scope="module")
def photo(avatar: Avatar, portrait: Path) -> Portrait:
    return Portrait.load(portrait, avatar.tracker, size=96)


def drawn(avatar: Avatar, photo: Portrait, **values: Any) -> list[np.ndarray]:
    """Three drafts of a still face."""
    motion, picture = Motion.neutral(3), values.pop("picture", None)
    request = wanted(quality="draft", text=None, motion=motion, **values)
    scene, layout = laid_out(photo, request, picture)
    return [layout.lay(f) for f in avatar.drawn(request, scene, [motion])]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"background": "beach.jpg"}, "got the background 'beach.jpg'; wanted own, blur"),
        ({"background": "#12345"}, "a colour such as #20a060"),
        ({"background": "blur", "background_picture": "b.jpg"}, "both a background and a picture"),
        ({"background": "blur", "renderer": "aniportrait"}, "keeps the photo's background"),
        ({"background": "transparent", "format": "mp4"}, r"take \.webm .*, \.mov .* or \.zip"),
        ({"trim": "3:2"}, "ends before it begins"),
        ({"trim": "2"}, "wanted START:END in seconds"),
        ({"trim": ".:1"}, "wanted START:END"),
        ({"text": None, "agent_audio": "a.wav", "subtitles": "burned"}, "subtitles without words"),
    ],
)
def test_what_cannot_be_says_what_can(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        wanted(**values)


def test_names_that_say_something_else_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"v\.mp4 cannot be transparent, .* take \.webm"):
        check_video(tmp_path / "v.mp4", wanted(background="transparent"))
    with pytest.raises(InputError, match="not of the format webm"):
        check_video(tmp_path / "v.mp4", wanted(format="webm"))
    words = tmp_path / "v.vtt"
    words.write_text("WEBVTT")
    given = wanted(text=None, agent_audio="a.wav", transcript=words, subtitles="file")
    with pytest.raises(OutputError, match="is also an input"):
        check_video(tmp_path / "v.mp4", given)
    check_video(tmp_path / "v.webm", wanted(background="transparent"))


def test_where_nobody_names_a_file_the_format_does() -> None:
    assert suffix_of(wanted()) == ".mp4"
    assert suffix_of(wanted(format="gif")) == ".gif"
    assert suffix_of(wanted(background="transparent")) == ".webm"


def test_a_background_is_a_word_of_a_manifest_and_its_picture_a_file() -> None:
    words = Schema()
    assert words.read("background", "#ffffff") == "#ffffff"
    assert "background_picture" in words.files and "background" not in words.files


def test_a_part_of_a_split_video_has_its_background_and_is_not_trimmed_again() -> None:
    request = wanted(background="transparent", aspect="9:16", trim="1:2", subtitles="file")
    part, _ = part_request(request, Motion.neutral(9), (3, 6), 0)
    assert (part.background, part.aspect) == ("transparent", "9:16")
    assert (part.trim, part.subtitles) == (None, "none")
    assert isinstance(part.motion, Motion) and len(part.motion) == 3


def test_the_length_is_that_of_the_part_that_is_wanted() -> None:
    moved = {"text": None, "motion": Motion.neutral(100)}
    assert video_seconds(wanted(trim="1:2.5", **moved)) == pytest.approx(1.5)
    assert video_seconds(wanted(trim="3:", **moved)) == pytest.approx(1.0)
    assert video_seconds(wanted(trim=":9", **moved)) == pytest.approx(4.0)


@pytest.mark.parametrize(("aspect", "size"), [("9:16", (96, 170)), ("16:9", (170, 96))])
def test_a_shape_shows_all_of_the_photo_which_goes_on_beyond_its_edges(
    avatar: Avatar, photo: Portrait, aspect: str, size: tuple[int, int]
) -> None:
    own = drawn(avatar, photo)[0]
    frame = drawn(avatar, photo, aspect=aspect)[0]
    assert (frame.shape[1], frame.shape[0]) == size
    y, x = (size[1] - 96) // 2, (size[0] - 96) // 2
    assert np.array_equal(frame[y : y + 96, x : x + 96], own)
    beside = frame[:y] if y else frame[:, :x]
    assert beside.std() > 1 and np.abs(np.diff(beside.astype(int), axis=1)).max() < 12


def test_a_colour_goes_on_into_the_shape_and_shoulders_stand_at_its_bottom(
    avatar: Avatar, photo: Portrait
) -> None:
    frame = drawn(avatar, photo, aspect="9:16", background="#10c040")[0]
    assert (frame[:74] == GREEN).all()
    assert (frame[-1, 40:56] != GREEN).any(-1).all()
    clear = drawn(avatar, photo, aspect="9:16", background="transparent")[0]
    assert clear.shape == (170, 96, 4) and not clear[:74, :, 3].any() and clear[..., 3].max() == 255


def test_who_is_cut_by_the_photo_goes_on_or_is_told_of(photo: Portrait) -> None:
    for values, side in (({}, 96), ({"background": "#10c040"}, 170)):
        scene, layout = laid_out(photo, wanted(aspect="16:9", **values), None)
        assert layout.lay(photo.image).shape[1] == 170 and not remarks(scene, layout), side
    near = Portrait(photo.image[:, 20:-20].copy(), photo.face)
    alpha = np.ones(near.image.shape[:2], np.float32)
    alpha[:30] = 0
    near.__dict__["matte"] = alpha
    scene, layout = laid_out(near, wanted(aspect="16:9", background="#10c040"), None)
    assert "cut off at its sides" in remarks(scene, layout)[0]


def test_a_picture_lies_behind_all_of_the_frame(avatar: Avatar, photo: Portrait) -> None:
    picture = np.zeros((40, 90, 3), np.uint8)
    picture[:, :45] = 255
    frame = drawn(avatar, photo, aspect="16:9", picture=picture)[0]
    assert (frame[:, :20] == 255).all() and (frame[:, -20:] == 0).all()


def test_the_picture_behind_is_read_by_who_reads_the_portrait(
    avatar: Avatar, portrait: Path
) -> None:
    """A server's reader has the files of strangers decoded elsewhere."""
    read: list[Path] = []

    class Reading:
        """HERE, which notes what pictures are read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(HERE, name)

        def picture(self, path: Path) -> Picture:
            read.append(path)
            return HERE.picture(path)

    beach = Path("beach.png")
    request = RenderRequest(portrait=portrait, text="Hi.", background_picture=beach)
    with pytest.raises(MediaError, match=r"beach\.png"):
        read_scene(cast(Any, Reading()), request, avatar.tracker)
    assert read == [portrait, beach]


def test_a_blurred_background_has_no_edges_and_nobody_in_it(
    avatar: Avatar, photo: Portrait
) -> None:
    striped = photo.image.copy()
    assert photo.matte is not None
    away = photo.matte < 0.02
    away[:, ::2] = False
    striped[away] = 0
    same = Portrait(striped, photo.face)
    same.__dict__["matte"] = photo.matte
    frame = drawn(avatar, same, background="blur")[0]
    corner = (slice(0, 12), slice(0, 12))
    assert np.diff(striped[corner].astype(int), axis=1).max() > 60
    assert np.abs(np.diff(frame[corner].astype(int), axis=1)).max() < 12


def test_a_frame_holds_its_picture_whatever_the_shape() -> None:
    for shape in ((64, 64), (100, 64), (64, 250)):
        image = np.zeros((*shape, 3), np.uint8)
        for ratio in (1.0, 9 / 16, 16 / 9):
            width, height = frame_size(image, ratio)
            assert width >= shape[1] and height >= shape[0] and not (width % 2 or height % 2)
            assert width / height == pytest.approx(ratio, abs=0.03)


def test_a_video_of_a_shape_is_as_long_as_was_wanted_and_tells_where_the_face_is(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    moved = {"portrait": portrait, "motion": Motion.neutral(4), "quality": "draft"}
    result = avatar.animate(**moved, size=128, aspect="9:16", out=tmp_path / "v.webm")
    assert result.size == (72, 128) == probe(tmp_path / "v.webm").size
    x0, y0, x1, y1 = result.face_box
    assert 0 < x0 < x1 < 72 and 28 < y0 < y1 < 100


def test_a_part_of_a_video_is_that_of_the_whole_with_its_sound(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    values = np.zeros((20, 90), np.float32)
    values[:, 24] = np.linspace(0, 0.8, 20)
    tone = Waveform(np.linspace(-0.5, 0.5, 12_800).astype(np.float32))
    asked = RenderRequest(
        portrait=portrait, motion=Motion(values), agent_audio=tone, size=64, quality="draft"
    )
    whole = [*avatar.frames(asked)]
    fields = {name: getattr(asked, name) for name in ("portrait", "motion", "agent_audio")}
    part = RenderRequest(**fields, size=64, quality="draft", trim="0.2:0.6")
    assert all(map(np.array_equal, avatar.frames(part), whole[5:15]))
    result = avatar.render(part, tmp_path / "v.mp4")
    assert (result.frames, result.seconds) == (10, 0.4)
    heard = Waveform.load(tmp_path / "v.mp4").samples
    assert heard[3000] == pytest.approx(tone.samples[3200 + 3000], abs=0.03)
    with pytest.raises(InputError, match=r"from 2 s on; the video lasts 0\.80 s"):
        avatar.frames(RenderRequest(**fields, size=64, trim="2:"))


def test_a_preview_is_small_slow_and_silent_and_says_so(
    avatar: Avatar, portrait: Path, tmp_path: Path
) -> None:
    moved = {"portrait": portrait, "motion": Motion.neutral(10), "quality": "draft"}
    result = avatar.animate(**moved, size=512, out=tmp_path / "v.gif")
    assert result.size == (360, 360) and (result.frames, result.fps) == (5, 12.5)
    assert any("is a preview without sound" in notice for notice in result.notices)
    with Image.open(tmp_path / "v.gif") as image:
        assert image.size == (360, 360)


def test_single_pictures_are_clear_and_the_subtitles_lie_beside(
    avatar: Avatar, portrait: Path, speech: Waveform, tmp_path: Path
) -> None:
    words = timed_words(SAID, [(0, 0.0), (4, 0.1), (8, 0.2)], [(0.3, 0.3)])
    result = avatar.animate(
        portrait=portrait,
        agent_audio=speech,
        transcript=Transcript(SAID, words),
        background="transparent",
        subtitles="file",
        trim="0.08:0.24",
        size=64,
        quality="draft",
        out=tmp_path / "v.zip",
    )
    with zipfile.ZipFile(tmp_path / "v.zip") as archive, archive.open("000004.png") as file:
        assert np.array(Image.open(file)).shape == (64, 64, 4)
        assert len(archive.namelist()) == result.frames == 4
    assert [cue.text for cue in result.subtitles] == [SAID]
    assert (tmp_path / "v.vtt").read_text().splitlines()[2:] == [
        "00:00:00.000 --> 00:00:00.160",
        SAID,
    ]
