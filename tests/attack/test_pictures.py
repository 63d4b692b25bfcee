"""No picture that a user gives starts a program, is opened by a decoder we do not name, or lasts.

The pictures come in through the command line, the API, the studio and a batch.
"""

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.commands import main
from app.intake.inspection import inspect
from app.intake.limits import Limits
from app.render.demo import DEFAULT_PORTRAIT
from app.render.pipeline import Avatar
from motion2video.media.pictures import MAX_PIXELS, open_picture
from motion2video.portrait.portrait import load_image
from tests.app.serving import running, small_avatar
from tests.attack.pictures import bombs, foreign_files, ghostscript_trap, png, started
from tests.conftest import PACKAGES
from weights.errors import InputError, LimitError, MediaError

ROOT = Path(__file__).parents[2]
SECONDS = 2.0
FOREIGN, BOMBS = foreign_files(), bombs()


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return small_avatar()


@pytest.fixture(autouse=True)
def nothing_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every test here fails where a program was started."""
    with ghostscript_trap(tmp_path_factory.mktemp("trap")) as ran, started() as programs:
        yield
        assert programs == []
        assert not ran.exists()


@pytest.mark.parametrize("name", FOREIGN)
def test_only_named_formats_are_opened_whatever_the_name(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(FOREIGN[name])
    begun = time.perf_counter()
    with pytest.raises(MediaError, match="not a picture that can be read; wanted JPEG, PNG, WEBP"):
        load_image(tmp_path / name)
    with pytest.raises(MediaError):
        inspect(tmp_path / name, ("picture",), Limits())
    assert time.perf_counter() - begun < SECONDS


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_from_its_structure(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(BOMBS[name])
    begun = time.process_time()
    with pytest.raises((MediaError, LimitError)) as refused:
        load_image(tmp_path / name)
    assert time.process_time() - begun < SECONDS
    assert "\n" not in str(refused.value)


def test_a_picture_just_below_the_limit_is_opened_and_one_above_is_not():
    with open_picture(png(5000, MAX_PIXELS // 5000)) as image:
        assert image.size == (5000, 10_000)
    with (
        pytest.raises(LimitError, match=r"too many pixels \(5000 x 10001\); at most 50 million"),
        open_picture(png(5000, MAX_PIXELS // 5000 + 1)),
    ):
        pass


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "socket\0"])
def test_what_is_no_regular_file_is_refused_at_once(path: str, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="picture"):
        load_image(tmp_path / path)


@pytest.mark.parametrize("name", ["eps.png", "binary_eps.jpg", "ps.png", "gzipped_eps.png"])
def test_the_command_line_refuses_it_in_a_sentence(
    name: str,
    avatar: Avatar,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(Avatar, "load", staticmethod(lambda *_, **__: avatar))
    (tmp_path / name).write_bytes(FOREIGN[name])
    out = tmp_path / "out.mp4"
    begun = time.perf_counter()
    code = main(["render", "--portrait", str(tmp_path / name), "--text", "Hi.", "--out", str(out)])
    assert code == 2
    assert time.perf_counter() - begun < SECONDS
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if "is not a picture that can be read" in line]) == 1
    assert not out.exists()


def test_the_api_refuses_it_with_422(avatar: Avatar, tmp_path: Path):
    with running(avatar, tmp_path) as served, served.http() as http:
        for name in ("eps.png", "binary_eps.jpg", "gzipped_eps.png", "ppm.png"):
            begun = time.perf_counter()
            answer = http.post(
                "/v1/videos",
                files={"portrait": (name, FOREIGN[name], "image/png")},
                data={"text": "Hi."},
            )
            assert answer.status_code == 422, answer.text
            assert time.perf_counter() - begun < SECONDS
            assert answer.json()["detail"]
        huge = http.post(
            "/v1/videos",
            files={"portrait": ("p.png", BOMBS["huge.png"], "image/png")},
            data={"text": "Hi."},
        )
        assert huge.status_code in (413, 422)


def test_the_studio_refuses_it_in_a_sentence(avatar: Avatar, tmp_path: Path):
    from app.studio.screens.faces import find_faces

    for name in ("eps.png", "ps.png"):
        (tmp_path / name).write_bytes(FOREIGN[name])
        with pytest.raises(MediaError, match="is not a picture that can be read"):
            find_faces(str(tmp_path / name), avatar.tracker)


def test_a_portrait_that_is_fine_is_still_fine():
    image, notices = load_image(DEFAULT_PORTRAIT)
    assert image.shape[2] == 3 and notices == ()


OPENERS = {
    *("imread", "imdecode", "imreadmulti", "imdecodemulti", "imopen", "imiter"),
    *("open_image", "read_image", "decode_image"),
}


def opened_in(path: Path) -> list[str]:
    """Calls in a module that decode a picture: Pillow's open, OpenCV's and others' readers."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pillow = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("PIL")
        for name in node.names
        if name.name == "Image"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "") == "PIL.Image":
            found += [f"{node.lineno}: import {n.name}" for n in node.names if n.name == "open"]
        if isinstance(node, ast.Attribute):
            base = node.value.attr if isinstance(node.value, ast.Attribute) else None
            base = node.value.id if isinstance(node.value, ast.Name) else base
            if node.attr in OPENERS or (node.attr == "open" and base in {*pillow, "Image"}):
                found.append(f"{node.lineno}: {base}.{node.attr}")
        if isinstance(node, ast.Name) and node.id in OPENERS:
            found.append(f"{node.lineno}: {node.id}")
    return found


def test_pictures_are_opened_in_one_module():
    found = {
        str(path.relative_to(ROOT)): calls
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (calls := opened_in(path))
    }
    assert list(found) == ["motion2video/media/pictures.py"], found
    assert len(found["motion2video/media/pictures.py"]) == 1


def test_the_search_for_openings_finds_them(tmp_path: Path):
    code = "from PIL import Image as P\nimport cv2\nP.open('a')\ncv2.imread('b')\nimdecode(1)\n"
    (tmp_path / "x.py").write_text(code)
    assert len(opened_in(tmp_path / "x.py")) == 3
