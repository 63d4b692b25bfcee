"""Reading any picture, and portraits with one usable face."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage.data import astronaut

from motion2video.faces.tracker import FaceTracker
from motion2video.portrait.portrait import Portrait, load_image
from weights.errors import FaceError, InputError, LimitError, MediaError

PORTRAITS = Path(__file__).resolve().parents[3] / "app/assets/portraits"
DEFAULT = PORTRAITS / "default.jpg"


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker.load()


@pytest.fixture(scope="module")
def woman() -> np.ndarray:
    return np.asarray(Image.open(DEFAULT))


def ramp(width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards: shows every turn and flip."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 40)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = ramp(60, 40)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = Image.fromarray(upright)
    if undo is not None:
        stored = stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    image, notices = load_image(tmp_path / "turned.png")
    np.testing.assert_array_equal(image, upright)
    assert notices == ()


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:4, :, 3] = 255
    rgba[4, :, 3] = 51
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    for image in (load_image(tmp_path / "alpha.png")[0], load_image(rgba)[0]):
        assert image[0, 0].tolist() == [200, 0, 0]
        np.testing.assert_allclose(image[4, 0], [244, 204, 204], atol=1)
        assert image[7, 7].tolist() == [255, 255, 255]


def test_other_pixel_formats_become_rgb(tmp_path: Path) -> None:
    picture = Image.fromarray(ramp(64, 48))
    grey = np.asarray(picture.convert("L"))
    wanted = np.repeat(grey[..., None], 3, axis=-1)
    picture.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "real.tiff")
    for name in ("grey.png", "deep.png", "real.tiff"):
        np.testing.assert_array_equal(load_image(tmp_path / name)[0], wanted)
    np.testing.assert_array_equal(load_image(grey)[0], wanted)

    blocks = np.zeros((48, 64, 3), np.uint8)
    blocks[:24, :32] = [250, 10, 10]
    blocks[24:] = [10, 240, 60]
    for mode, name in (("P", "palette.gif"), ("P", "palette.png"), ("CMYK", "print.jpg")):
        picture = Image.fromarray(blocks)
        converted = picture.quantize(16) if mode == "P" else picture.convert(mode)
        converted.save(tmp_path / name)
        image = load_image(tmp_path / name)[0]
        assert np.abs(image[12, 16].astype(int) - [250, 10, 10]).max() < 12
        assert np.abs(image[36, 40].astype(int) - [10, 240, 60]).max() < 12
    palette = Image.fromarray(blocks).quantize(16)
    palette.save(tmp_path / "clear.png", transparency=palette.getpixel((0, 0)))
    assert load_image(tmp_path / "clear.png")[0][0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", ["huge.jpg", "huge.png"])
def test_twelve_thousand_pixels_are_reduced_and_said(tmp_path: Path, name: str) -> None:
    small = Image.fromarray(ramp(1200, 100))
    small.resize((12000, 1000)).save(tmp_path / name)
    image, notices = load_image(tmp_path / name)
    assert image.shape == (341, 4096, 3)
    assert notices == ("the picture was reduced from 12000x1000 to 4096x341 pixels",)
    wanted = np.asarray(small.resize((4096, 341))).astype(int)
    assert np.abs(image - wanted)[8:-8, 8:-8].max() < 6


def test_reduced_and_turned_picture_keeps_its_sides(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp(900, 300)).save(tmp_path / "turned.jpg", exif=exif)
    image, notices = load_image(tmp_path / "turned.jpg", max_side=300)
    assert image.shape == (300, 100, 3)
    assert notices == ("the picture was reduced from 300x900 to 100x300 pixels",)


def test_unreadable_pictures_say_why(tmp_path: Path) -> None:
    whole = DEFAULT.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    buffer = io.BytesIO()
    Image.fromarray(ramp(64, 64)).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:90])
    for name, reason in {
        "cut.jpg": "truncated or damaged",
        "cut.png": "truncated or damaged",
        "empty.jpg": "is empty",
        "text.jpg": "not a picture",
        "missing.jpg": "there is no picture",
        ".": "is a folder",
    }.items():
        with pytest.raises(MediaError, match=reason):
            load_image(tmp_path / name)
    with pytest.raises(MediaError, match="2 channels"):
        load_image(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(MediaError, match="wanted a uint8 picture"):
        load_image(np.zeros((4, 0, 3), np.uint8))


def test_decompression_bomb_is_refused(tmp_path: Path) -> None:
    """A PNG header that says 60,000 x 60,000, in 100 bytes."""
    buffer = io.BytesIO()
    Image.fromarray(ramp(8, 8)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bytes(data))
    with pytest.raises(LimitError, match="too many pixels"):
        load_image(tmp_path / "bomb.png")


@pytest.mark.weights("face_landmarker")
class TestPortrait:
    def test_every_portrait_of_the_gallery_is_usable(self, tracker: FaceTracker) -> None:
        files = sorted(PORTRAITS.glob("*.jpg"))
        assert len(files) >= 4
        for file in files:
            portrait = Portrait.load(file, tracker)
            assert portrait.image.shape == (512, 512, 3)
            assert 0.36 < portrait.face.width / 512 < 0.47
            assert abs(portrait.face.yaw) < 5
            assert portrait.notices == ()
            assert file.stat().st_size < 120_000
        assert "CC BY 4.0" in (PORTRAITS / "CREDIT.txt").read_text()

    def test_an_astronaut(self, tracker: FaceTracker) -> None:
        portrait = Portrait.load(astronaut(), tracker)
        assert portrait.image.shape == (512, 512, 3)
        assert np.hypot(*(portrait.face.landmarks[4, :2] - [227, 128])) < 15

    def test_odd_sides_are_cut_to_even(self, tracker: FaceTracker, woman: np.ndarray) -> None:
        portrait = Portrait.load(woman[:511, 1:508], tracker)
        assert portrait.image.shape == (510, 506, 3)
        assert portrait.face.image_size == (506, 510)
        np.testing.assert_array_equal(portrait.image, woman[:510, 1:507])

    @pytest.mark.parametrize("size", [512, 2000, 257])
    def test_size_caps_the_long_side_and_never_enlarges(
        self, tracker: FaceTracker, woman: np.ndarray, size: int
    ) -> None:
        whole = Portrait.load(woman[:, 60:452], tracker)
        portrait = Portrait.load(woman[:, 60:452], tracker, size=size)
        height = min(512, size) // 2 * 2
        assert portrait.image.shape[0] == height and portrait.image.shape[1] % 2 == 0
        scale = min(1, size / 512)
        np.testing.assert_allclose(
            portrait.face.landmarks, whole.face.landmarks * scale, rtol=1e-4, atol=1e-3
        )

    @pytest.mark.parametrize("cut", [np.s_[:, :], np.s_[40:420, 100:512], np.s_[120:380, 130:380]])
    def test_head_crop_is_a_square_around_the_face(
        self, tracker: FaceTracker, woman: np.ndarray, cut: tuple[slice, slice]
    ) -> None:
        source = np.ascontiguousarray(woman[cut])
        portrait = Portrait.load(source, tracker, crop="head")
        side = portrait.image.shape[0]
        assert portrait.image.shape[1] == side and side % 2 == 0
        assert portrait.face.width / side == pytest.approx(0.45, abs=0.01)
        x0, y0, x1, y1 = (round(v) for v in portrait.face.box)
        assert x0 > 0 and y0 > 0 and x1 < side and y1 < side
        whole = tracker.settle(source, tracker.detect(source)[0])
        dx, dy, _ = np.round(whole.landmarks[4] - portrait.face.landmarks[4]).astype(int)
        np.testing.assert_array_equal(  # the landmarks moved with the pixels
            portrait.image[y0:y1, x0:x1], source[y0 + dy : y1 + dy, x0 + dx : x1 + dx]
        )

    def test_a_choice_of_faces_is_said(self, tracker: FaceTracker, woman: np.ndarray) -> None:
        man = np.asarray(Image.open(PORTRAITS / "man_1.jpg"))
        pair = np.concatenate([woman, man], axis=1)
        portrait = Portrait.load(pair, tracker, face="2")
        assert portrait.face.centre[0] > 512
        assert len(portrait.notices) == 1 and portrait.notices[0].startswith("2 faces found")

    def test_turned_photo_gives_the_same_face(
        self, tracker: FaceTracker, tmp_path: Path, woman: np.ndarray
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 8
        turned = Image.fromarray(woman).transpose(Image.Transpose.ROTATE_270)
        turned.save(tmp_path / "phone.png", exif=exif)
        assert ImageOps.exif_transpose(Image.open(tmp_path / "phone.png")).size == (512, 512)
        portrait = Portrait.load(tmp_path / "phone.png", tracker)
        np.testing.assert_array_equal(portrait.image, woman)

    def test_unusable_pictures_are_refused(self, tracker: FaceTracker, woman: np.ndarray) -> None:
        tiny = np.asarray(Image.fromarray(woman).resize((120, 120), Image.Resampling.LANCZOS))
        with pytest.raises(FaceError, match="pixels wide; at least 64"):
            Portrait.load(tiny, tracker)
        with pytest.raises(FaceError, match="no face found"):
            Portrait.load(np.full((1, 1, 3), 127, np.uint8), tracker)
        with pytest.raises(FaceError, match="no face found"):
            Portrait.load(ramp(300, 200), tracker)
        with pytest.raises(FaceError, match="of the face is inside"):
            Portrait.load(woman[:, :288], tracker)
        with pytest.raises(InputError, match="size=10"):
            Portrait.load(woman, tracker, size=10)
        with pytest.raises(FaceError, match="no face 3"):
            Portrait.load(woman, tracker, face="3")
