"""Nobody reads a file through the studio that is not their own: not by its path, not by the handle
of somebody else's, not by an address that the server would fetch.
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image, ImageOps

from app.render.demo import DEFAULT_PORTRAIT
from app.studio.screens.gate import MOST_BYTES, MOST_FILES
from app.studio.visitor_files import upload_name
from tests.app.serving import small_avatar
from tests.app.studio.studio_server import QUIET, Studio, serve
from tests.attack.studio_pages import API, META, Page, called, form, handles_in, opened, watching

pytestmark = [*QUIET, pytest.mark.network]

ROOT = Path(__file__).parents[2]
MARKS = ("root:x:0", "[project]", "SQLite format 3", "JFIF-of-another")


@dataclass(frozen=True)
class World:
    """A studio in which somebody else has uploaded a photo and been shown a picture."""

    studio: Studio
    other: Page
    handle: str
    shown: str
    targets: tuple[Path, ...]


def of_two() -> bytes:
    """A photo in which one has to choose."""
    with Image.open(DEFAULT_PORTRAIT) as one:
        one = one.convert("RGB").resize((320, 320))
        both = Image.new("RGB", (640, 320))
        both.paste(one, (0, 0))
        both.paste(ImageOps.mirror(one), (320, 0))
        file = BytesIO()
        both.save(file, "JPEG")
        return file.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("studio")
    photo = of_two() + b"JFIF-of-another"
    with serve(small_avatar(), folder) as studio, Page.open(studio.url) as other:
        (handle,) = other.upload(("me.jpg", photo))
        told = other.ask("faces", _file(handle))
        shown = min(set(handles_in(told)))
        files = [p for p in folder.rglob("*") if p.is_file()]
        uploaded = next(p for p in files if p.read_bytes() == photo)
        made = next(p for p in files if p.name.startswith(("faces", "image")))
        database = folder / "server" / "visavis.sqlite3"
        secret = (Path("/etc/passwd"), ROOT / "pyproject.toml", uploaded, made, database)
        yield World(studio, other, handle, shown, tuple(path.resolve() for path in secret))


@pytest.fixture
def page(world: World) -> Iterator[Page]:
    with Page.open(world.studio.url) as opened_page:
        yield opened_page


@pytest.fixture(scope="module")
def stranger(world: World) -> Iterator[Page]:
    """A page whose every attempt is refused, so that the next one may begin from it."""
    with Page.open(world.studio.url) as opened_page:
        yield opened_page


def _file(path: object, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": META, **more}


def _climbing(path: Path) -> str:
    return "../" * 12 + str(path).lstrip("/")


def _relative(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else _climbing(path)


AS_PHOTO: dict[str, Callable[[Path], Any]] = {
    "a file": lambda path: _file(str(path)),
    "a file with a name": lambda path: _file(str(path), orig_name="me.jpg"),
    "a file that says svg": lambda path: _file(str(path), orig_name="me.svg"),
    "a file with a type": lambda path: _file(str(path), mime_type="image/jpeg", size=1),
    "a file with its address": lambda path: _file(str(path), url=f"{API}/file={path}"),
    "a file with a file address": lambda path: _file(str(path), url=f"file://{path}"),
    "a file that is a stream": lambda path: _file(str(path), is_stream=True),
    "without the mark": lambda path: {"path": str(path)},
    "with another mark": lambda path: {"path": str(path), "meta": {"_type": "other"}},
    "only a file address": lambda path: {"url": f"file://{path}", "meta": META},
    "path and nothing": lambda path: _file(str(path), url=None, orig_name=None),
    "a bare text": str,
    "a text with a scheme": lambda path: f"file://{path}",
    "climbing": lambda path: _file(_climbing(path)),
    "relative": lambda path: _file(_relative(path)),
    "with dots": lambda path: _file(f"{path.parent}/./{path.name}"),
    "with two slashes": lambda path: _file(f"//{str(path).lstrip('/')}"),
    "quoted": lambda path: _file(quote(str(path), safe="")),
    "behind file=": lambda path: _file(f"{API}/file={path}"),
    "of a process": lambda path: _file(f"/proc/self/root{path}"),
    "in a list": lambda path: [_file(str(path))],
    "nested": lambda path: {"image": _file(str(path))},
    "nested in a value": lambda path: {"value": _file(str(path)), "__type__": "update"},
    "a picture with a caption": lambda path: [{"image": _file(str(path)), "caption": "me"}],
    "a path in a path": lambda path: _file(_file(str(path))),
    "a mark that is a text": lambda path: {"path": str(path), "meta": "gradio.FileData"},
}
AS_FILES: dict[str, Callable[[Path], Any]] = {
    "one file": lambda path: [_file(str(path))],
    "one bare": lambda path: _file(str(path)),
    "texts": lambda path: [str(path)],
    "a list in a list": lambda path: [[_file(str(path))]],
    "two": lambda path: [_file(str(path)), _file(str(path), orig_name="batch.jsonl")],
    "an object of files": lambda path: {"a": _file(str(path))},
}
ELSEWHERE: dict[str, Callable[[Path], list[Any]]] = {
    "motion": lambda path: form(motion=_file(str(path))),
    "agent_audio": lambda path: form(says="a recording", agent_audio=_file(str(path))),
    "interlocutor_audio": lambda path: form(interlocutor_audio=_file(str(path))),
    "interlocutor_video": lambda path: form(interlocutor_video=_file(str(path))),
    "a video with subtitles": lambda path: form(
        interlocutor_video={"video": _file(str(path)), "subtitles": _file(str(path))}
    ),
    "text": lambda path: form(text=_file(str(path))),
    "voice": lambda path: form(voice=_file(str(path))),
    "gestures": lambda path: form(gestures=[_file(str(path))]),
    "size": lambda path: form(size=_file(str(path))),
    "by_region": lambda path: form(by_region={"value": _file(str(path))}),
}
GET: dict[str, Callable[[Path], str]] = {
    "file=": lambda path: f"{API}/file={path}",
    "file= quoted": lambda path: f"{API}/file={quote(str(path), safe='')}",
    "file= climbing": lambda path: f"{API}/file={quote(_climbing(path), safe='')}",
    "file= with a scheme": lambda path: f"{API}/file=file://{path}",
    "file= of a process": lambda path: f"{API}/file=/proc/self/root{path}",
    "file= and a zero": lambda path: f"{API}/file={path}%00.jpg",
    "file/": lambda path: f"{API}/file/{str(path).lstrip('/')}",
    "old file=": lambda path: f"/studio/file={path}",
    "proxy=": lambda path: f"{API}/proxy=file://{path}",
    "static": lambda path: f"/studio/static/{quote(_climbing(path), safe='')}",
    "assets": lambda path: f"/studio/assets/{quote(_climbing(path), safe='')}",
    "svelte": lambda path: f"/studio/svelte/{quote(_climbing(path), safe='')}",
    "component": lambda path: f"{API}/custom_component/1/client/component/{quote(str(path))}",
    "stream": lambda path: f"{API}/stream/{quote(_climbing(path), safe='')}/1/1/playlist-file",
    "deep link": lambda path: f"/studio/?deep_link={quote(_climbing(path), safe='')}",
    "progress": lambda path: f"{API}/upload_progress?upload_id={quote(str(path))}",
    "monitoring": lambda path: f"/studio/monitoring/{quote(_climbing(path), safe='')}",
    "live portrait": lambda path: f"/live/portraits/{quote(_climbing(path), safe='')}",
}


def require_refused(world: World, path: Path, act: Callable[[], str]) -> None:
    with watching() as events:
        told = act()
    # SQLite opens its file without Python, and the server does so all the time.
    assert not opened(events, path), f"the server opened {path}"
    assert not [mark for mark in MARKS if mark in told], told[:300]
    assert handles_in(told) == []


@pytest.mark.parametrize("way", AS_PHOTO)
@pytest.mark.parametrize("route", ["ask", "join"])
def test_a_photo_is_never_a_path(world: World, stranger: Page, way: str, route: str):
    for path in world.targets:
        value = AS_PHOTO[way](path)
        require_refused(world, path, partial(getattr(stranger, route), "faces", value))


@pytest.mark.parametrize("way", AS_FILES)
def test_a_batch_is_never_of_paths(world: World, stranger: Page, way: str):
    for path in world.targets:
        require_refused(world, path, lambda path=path: stranger.ask("batch", AS_FILES[way](path)))


@pytest.mark.parametrize("field", ELSEWHERE)
def test_no_field_of_the_form_is_a_path(world: World, stranger: Page, field: str):
    (photo,) = stranger.upload(("me.jpg", DEFAULT_PORTRAIT.read_bytes()))
    for path in world.targets:
        values = ELSEWHERE[field](path)
        values[0] = _file(photo)
        require_refused(world, path, lambda values=values: stranger.ask("plan", *values))


@pytest.mark.parametrize("way", GET)
def test_no_address_leads_to_a_file(world: World, stranger: Page, way: str):
    for path in world.targets:
        require_refused(
            world, path, lambda path=path: stranger.http.get(GET[way](path)).text[:10_000]
        )


def test_an_example_is_chosen_by_its_number_and_what_else_a_click_tells_is_not_read(
    world: World, page: Page
):
    config = page.http.get("/studio/config").json()
    (gallery,) = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "examples"]
    choose = next(d["id"] for d in config["dependencies"] if [gallery, "select"] in d["targets"])
    for path in world.targets:
        event = {"index": 0, "value": {"image": _file(str(path)), "caption": str(path)}}

        def act(event: dict = event) -> str:
            return page.told(choose, ["heart"], event_data=event, trigger_id=gallery)

        with watching() as events:
            told = act()
        assert not opened(events, path)
        assert "default.jpg" in told
    for index in (-1, 99, "x", None, [0, 0], {"path": "/etc/passwd"}):
        told = page.told(choose, ["heart"], event_data={"index": index}, trigger_id=gallery)
        assert "there is no such example" in told


@pytest.mark.parametrize(
    "route",
    ["run/faces", "api/faces", "run/predict", "call/faces", "call/v2/faces", "queue/join"],
)
def test_no_route_to_an_endpoint_takes_a_path(world: World, page: Page, route: str):
    config = page.http.get("/studio/config").json()
    number = next(d["id"] for d in config["dependencies"] if d["api_name"] == "faces")
    for path in world.targets:
        file = _file(str(path))
        bodies = (
            {"data": [file], "session_hash": page.hash, "fn_index": number},
            {"data": [file], "fn_index": number},
            {"photo": file, "session_hash": page.hash},
        )

        def act(bodies: tuple = bodies) -> str:
            told = []
            for body in bodies:
                told.append(page.http.post(f"{API}/{route}", json=body).text)
                if begun := re.search(r'"event_id":"(\w+)"', told[-1]):
                    told.append(page.http.get(f"{API}/call/faces/{begun[1]}").text)
            return "\n".join(told)

        require_refused(world, path, act)


@pytest.mark.parametrize(
    "route",
    [
        *("component_server", "process_recording", "vibe-edit", "vibe-code", "undo-vibe-edit"),
        *("stream/x", "run-history/connect", "login", "profiling/clear"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(stranger: Page, route: str):
    assert stranger.http.post(f"{API}/{route}", json={}).status_code == 404


def test_what_somebody_else_uploaded_is_neither_shown_nor_used(world: World, page: Page):
    for handle in (world.handle, world.shown):
        assert page.http.get(f"{API}/file={quote(handle)}").status_code == 404
        assert "no file that you have uploaded" in page.ask("faces", _file(handle))
    mine = world.other.http.get(f"{API}/file={quote(world.handle)}")
    assert mine.content.endswith(b"JFIF-of-another")
    assert world.other.http.get(f"{API}/file={quote(world.shown)}").status_code == 200


def test_an_upload_is_of_the_page_that_used_it(world: World):
    with Page.open(world.studio.url) as first:
        (handle,) = first.upload(("me.jpg", of_two()))
        assert "faces.jpg" in first.ask("faces", _file(handle))
        second = Page(first.http)
        assert "no file that you have uploaded" in second.ask("faces", _file(handle))
        assert "faces.jpg" in first.ask("faces", _file(handle))


def test_the_same_content_gives_everybody_a_handle_that_nobody_can_guess(world: World, page: Page):
    photo = DEFAULT_PORTRAIT.read_bytes() + b"JFIF-of-another"
    handles = [page.upload(("me.jpg", photo))[0] for _ in range(3)]
    assert len({*handles, world.handle}) == 4
    assert all(len(handle.partition("/")[0]) >= 32 for handle in handles)
    assert all(handle.partition("/")[2] == "me.jpg" for handle in handles)


def test_the_page_of_one_browser_is_not_told_to_another(world: World, page: Page):
    for route in (f"queue/data?session_hash={world.other.hash}", f"heartbeat/{world.other.hash}"):
        assert page.http.get(f"{API}/{route}").status_code == 403
    theirs = Page(page.http, world.other.hash)
    assert "another browser" in theirs.ask("faces", None)
    assert "another browser" in theirs.join("cancel")


def test_no_address_is_ever_fetched(world: World, page: Page):
    """Neither this computer's other services nor anybody's in the world."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        local = f"http://127.0.0.1:{listener.getsockname()[1]}/me.jpg"
        asked: list[Any] = []
        thread = threading.Thread(target=_accept, args=(listener, asked), daemon=True)
        thread.start()
        ours = ("127.0.0.1", int(world.studio.url.rpartition(":")[2]))
        for address in (local, "http://192.0.2.7/me.jpg", "https://example.org/me.jpg"):
            values = (
                _file(address),
                _file("me.jpg", url=address),
                _file(None, url=address),
                _file("", url=address),
                {"url": address, "meta": META},
                {"path": address},
                address,
                [address],
            )
            with watching() as events:
                told = [page.ask("faces", value) for value in values]
                told += [page.ask("batch", [_file(address)])]
                told += [page.http.get(f"{API}/{r}={address}").text for r in ("file", "proxy")]
                told += [page.http.get(f"{API}/file/{address}").text]
            assert called(events) <= {ours}
            assert not any("faces.jpg" in one for one in told)
    assert asked == []


def _accept(listener: socket.socket, asked: list[Any]) -> None:
    while True:
        try:
            connection, address = listener.accept()
        except OSError:
            return
        asked.append(address)
        connection.close()


def test_no_folder_of_the_server_is_told(world: World, page: Page):
    (photo,) = page.upload(("me.jpg", DEFAULT_PORTRAIT.read_bytes()))
    (text,) = page.upload(("me.jpg", b"this is no picture"))
    told = [page.http.get(f"/studio/{path}").text for path in ("", "config", "gradio_api/info")]
    told += [page.ask("faces", _file(file)) for file in (photo, text, "/etc/passwd")]
    told += [page.ask("plan", *form(photo=_file(text)))]
    told += [page.try_upload(("x" * 300 + ".jpg", b"1"), ("../../x.jpg", b"1")).text]
    folders = [str(world.targets[2].parents[3]), str(ROOT), "/tmp/gradio"]
    assert not [folder for folder in folders for one in told if folder in one]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "/etc/x",
        "a\\..\\x",
        "..",
        ".",
        "",
        "\0",
        "a\nb",
        "x" * 5000,
        "é" * 500,
    ],
)
def test_the_name_of_an_upload_is_no_path(world: World, page: Page, name: str):
    kept = upload_name(name)
    assert kept == Path(kept).name
    assert kept not in ("", ".", "..")
    assert len(kept.encode()) < 200
    before = {p for p in world.targets[2].parents[2].rglob("*") if p.is_file()}
    answer = page.http.post(f"{API}/upload", files=[("files", (name or "x", b"1"))])
    if answer.status_code == 200:
        after = {p for p in world.targets[2].parents[2].rglob("*") if p.is_file()}
        assert len(after - before) == 1


def test_forms_and_uploads_that_are_too_much_are_refused(page: Page):
    large = {"data": ["x" * MOST_BYTES], "session_hash": page.hash}
    assert page.http.post(f"{API}/queue/join", json=large).status_code == 413
    deep = b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert page.http.post(f"{API}/queue/join", content=deep).status_code == 422
    for body in (b"", b"[]", b"\xff", b'{"session_hash": 1}', b'{"session_hash": {"a": 1}}'):
        assert page.http.post(f"{API}/queue/join", content=body).status_code == 422
    many = page.try_upload(*[("x.jpg", b"1")] * (MOST_FILES + 1))
    assert many.status_code == 413
    assert page.http.post(f"{API}/upload", json={"files": []}).status_code == 422
    assert page.http.post(f"{API}/upload", data={"files": "/etc/passwd"}).status_code == 422


def test_what_was_uploaded_is_a_download_unless_it_is_a_picture_or_a_sound(page: Page):
    names = ("a.html", "a.svg", "a.js", "a.xml", "a.pdf", "a.jpg", "a.wav")
    handles = page.upload(*[(name, b"<script>alert(1)</script>") for name in names])
    how = {}
    for name, handle in zip(names, handles, strict=True):
        answer = page.http.get(f"{API}/file={quote(handle)}")
        how[name] = answer.headers["content-disposition"].partition(";")[0]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert how[name] == "inline" or answer.headers["content-type"].startswith("application/oct")
    assert how == {n: "inline" if n in ("a.jpg", "a.wav") else "attachment" for n in names}


def test_the_ways_are_many():
    ways = len(AS_PHOTO) + len(AS_FILES) + len(ELSEWHERE) + len(GET)
    assert ways >= 40
    assert json.dumps([way(Path("/etc/passwd")) for way in AS_PHOTO.values()])
