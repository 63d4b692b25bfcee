"""The server's limits are the studio's: every way in refuses what is more, with a sentence that
names the limit, and what is past its time is gone.
"""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi import FastAPI

from app.intake.allowance import MOST_GESTURES, require_allowed
from app.intake.limits import Limits
from app.jobs.crew import Running
from app.jobs.store import FileStore
from app.render.demo import DEFAULT_PORTRAIT
from app.render.request import RenderRequest
from app.studio.editor import Take
from app.studio.mount import mount_studio
from app.studio.project import MOST_EDITS, Project
from app.studio.visitor_batch import read_upload
from app.studio.workshop import Workshop
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import Motion
from tests.app.serving import small_avatar
from tests.app.studio.shop import open_shop
from tests.app.studio.studio_server import QUIET, Studio, serve
from tests.attack.studio_pages import API, META, Page, form, handles_in
from weights.errors import BusyError, FullError, InputError, LimitError, NotFoundError

pytestmark = [*QUIET, pytest.mark.network]

LIMITS = Limits(
    max_upload_bytes=300_000,
    max_seconds=2.0,
    max_size=256,
    max_text=200,
    max_waiting=3,
    max_waiting_each=2,
    max_pixels=300_000,
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with serve(small_avatar(), tmp_path_factory.mktemp("studio"), limits=LIMITS) as running:
        yield running


@pytest.fixture
def page(studio: Studio) -> Iterator[Page]:
    with Page.open(studio.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sound and a motion that are too long, a picture that is too large."""
    import cv2

    folder = tmp_path_factory.mktemp("files")
    made = {
        "long.wav": Waveform(np.sin(np.arange(16000 * 3) / 9).astype(np.float32)).save(
            folder / "long.wav"
        ),
        "short.wav": synthesize("Hi.").save(folder / "short.wav"),
        "long.npz": Motion.neutral(25 * 3).save(folder / "long.npz"),
        "me.jpg": DEFAULT_PORTRAIT,
    }
    cv2.imwrite(str(folder / "large.png"), np.zeros((600, 600, 3), np.uint8))
    made["large.png"] = folder / "large.png"
    return {name: path.read_bytes() for name, path in made.items()}


def filed(page: Page, files: dict[str, bytes], name: str) -> dict[str, Any]:
    (handle,) = page.upload((name, files[name]))
    return {"path": handle, "meta": META}


REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "size": ({}, {"size": 512, "text": "Hi."}, "at most 256 pixels"),
    "the text's characters": ({}, {"text": "a" * 201}, "at most 200"),
    "the text's length": ({}, {"text": "one two three four five " * 5}, "at most 2 s are made"),
    "the voice": ({"agent_audio": "long.wav"}, {"says": "a recording"}, "at most 2 s are taken"),
    "the other voice": ({"interlocutor_audio": "long.wav"}, {}, "at most 2 s are taken"),
    "the motion": ({"motion": "long.npz"}, {"says": "nothing"}, "at most 2 s"),
    "the photo": ({"photo": "large.png"}, {"text": "Hi."}, "million are taken"),
    "gestures": ({}, {"gestures": "nod@1 " * 40}, "at most 200 are taken"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("endpoint", ["plan", "create", "compare"])
def test_what_is_more_than_the_limit_is_refused_with_the_limit(
    page: Page, files: dict[str, bytes], endpoint: str, what: str
):
    given, values, words = REFUSED[what]
    named = {n: filed(page, files, file) for n, file in {"photo": "me.jpg", **given}.items()}
    data = form(**{"size": 64, **values, **named})
    sides = ["neutral", 1, 1, "", 0] * 2 if endpoint == "compare" else []
    told = page.ask(endpoint, *sides, *data)
    assert words in told
    assert ".mp4" not in told


def test_what_is_within_the_limits_is_made(page: Page, files: dict[str, bytes]):
    told = page.ask("create", *form(photo=filed(page, files, "me.jpg"), text="Hi.", size=64))
    made = [handle for handle in handles_in(told) if handle.endswith(".mp4")]
    assert page.http.get(f"{API}/file={quote(made[-1])}").status_code == 200


def test_a_large_upload_is_refused(page: Page):
    answer = page.try_upload(("big.wav", b"0" * 300_001))
    assert answer.status_code == 413
    assert "big.wav is larger than 0.3 MB" in answer.text
    assert page.http.get("/studio/config").json()["max_file_size"] == 300_000


def test_the_sizes_that_are_offered_are_those_that_are_made(page: Page):
    parts = page.http.get("/studio/config").json()["components"]
    (size,) = [part["props"] for part in parts if part["props"].get("elem_id") == "size"]
    assert [value for _, value in size["choices"]] == [256]
    assert size["value"] == 256


def test_a_batch_obeys_the_limits(page: Page, files: dict[str, bytes]):
    def told(*rows: dict[str, Any]) -> str:
        manifest = "".join(json.dumps(row) + "\n" for row in rows).encode()
        names = ("me.jpg", "long.wav")
        handles = page.upload(("b.jsonl", manifest), *[(n, files[n]) for n in names])
        return page.ask("batch", [{"path": handle, "meta": META} for handle in handles])

    row = {"portrait": "me.jpg", "text": "Hi.", "size": 64}
    assert "at most 3 are made" in told(*[row] * 4)
    assert "row 2: got the size 512; at most 256 pixels" in told(row, {**row, "size": 512})
    assert "at most 200 are taken" in told({**row, "text": "a" * 201})
    long = {"portrait": "me.jpg", "agent_audio": "long.wav", "size": 64}
    assert "at most 2 s are taken" in told(long)
    assert "at most 2 s are made" in told({**row, "text": "one two three four five " * 5})
    assert "at most 200" in told({**row, "gestures": ["nod@1"] * (MOST_GESTURES + 1)})


def test_a_manifest_has_a_largest_size_and_no_two_files_one_name(tmp_path: Path):
    manifest = tmp_path / "b.jsonl"
    manifest.write_bytes(b" " * 3_000_000)
    with pytest.raises(LimitError, match="at most 2 MB"):
        read_upload([manifest], tmp_path, Limits())
    manifest.write_bytes(b"[" * 100_000)
    with pytest.raises(InputError, match="cannot be read"):
        read_upload([manifest], tmp_path, Limits())
    (tmp_path / "other").mkdir()
    twice = [tmp_path / "a.wav", tmp_path / "other" / "a.wav"]
    with pytest.raises(InputError, match="one name"):
        read_upload([manifest, *twice], tmp_path, Limits())


def test_everything_that_a_request_may_hold_is_counted():
    gestures = ["nod@1"] * (MOST_GESTURES + 1)
    with pytest.raises(LimitError, match=f"at most {MOST_GESTURES} are taken"):
        require_allowed(RenderRequest(portrait="x", text="Hi.", gestures=gestures), Limits())
    for name in ("ask", "persona"):
        given: dict[str, Any] = {"ask": "Hi.", name: "a" * 201}
        with pytest.raises(LimitError, match=f"{name} of 201 characters; at most 200"):
            require_allowed(RenderRequest(portrait="x", size=64, **given), LIMITS)


def test_a_project_has_most_edits():
    project = Project.__new__(Project)
    project.takes, project.undone = [Take(Motion.neutral(1))], []
    for _ in range(MOST_EDITS):
        project.edit(lambda take: take)
    with pytest.raises(InputError, match=f"at most {MOST_EDITS} edits"):
        project.edit(lambda take: take)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes workshops with limits."""
    with ExitStack() as stack:

        def make(**limits: Any) -> Workshop:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            return stack.enter_context(open_shop(folder, small_avatar, Limits(**limits)))

        yield make


def held(gate: threading.Event) -> Callable[[Running], None]:
    def work(run: Running) -> None:
        while not gate.wait(0.01):
            run.check()

    return work


def test_a_visitor_with_many_pages_has_no_more_places(workshop: Callable[..., Workshop]):
    shop, gate = workshop(max_waiting_each=2), threading.Event()
    for number in range(2):
        shop.submit(shop.page(f"page {number}", "ann"), held(gate))
    with pytest.raises(BusyError, match="of at most 2"):
        shop.submit(shop.page("page 3", "ann"), held(gate))
    assert shop.submit(shop.page("page", "bob"), held(gate)).state == "queued"
    gate.set()


def test_a_visitors_results_count_against_their_quota(workshop: Callable[..., Workshop]):
    shop = workshop(quota_bytes=1000)
    (shop.page("page 1", "ann").new_folder() / "a.mp4").write_bytes(b"0" * 1001)
    with pytest.raises(LimitError, match=r"more than 0\.001 MB"):
        shop.submit(shop.page("page 2", "ann"), lambda run: None)
    with pytest.raises(LimitError, match=r"more than 0\.001 MB"):
        shop.page("page 3", "ann").new_folder()
    assert shop.submit(shop.page("page", "bob"), lambda run: None).wait(5.0)


def test_what_is_made_for_everybody_counts_against_the_servers_total(
    workshop: Callable[..., Workshop],
):
    shop = workshop(total_bytes=1000)
    (shop.page("page", "ann").new_folder() / "a.mp4").write_bytes(b"0" * 1001)
    with pytest.raises(FullError, match="keeps 1 files"):
        shop.submit(shop.page("page", "bob"), lambda run: None)


def upload(shop: Workshop, *sizes: int) -> list[str]:
    return shop.files.take([(io.BytesIO(b"0" * size), "a.wav") for size in sizes], "ann")


def test_uploads_count_against_their_quota_and_all_go_when_one_is_too_much(
    workshop: Callable[..., Workshop],
):
    shop = workshop(quota_bytes=1000)
    assert len(upload(shop, 600)) == 1
    with pytest.raises(LimitError, match="more than"):
        upload(shop, 100, 301)
    assert len(upload(shop, 300)) == 1
    assert shop.queue.store.used("ann") == 900
    assert len(list(shop.queue.store.folder.iterdir())) == 2


def test_an_upload_is_refused_while_the_disk_is_full(workshop: Callable[..., Workshop]):
    with pytest.raises(FullError, match="nothing is taken"):
        upload(workshop(min_free_bytes=10**18), 1)


def test_uploads_results_and_projects_go_when_their_time_is_over(
    workshop: Callable[..., Workshop],
):
    shop = workshop(expiry_s=100.0)
    page, store = shop.page("page", "ann"), shop.queue.store
    result = page.new_folder() / "a.mp4"
    result.touch()
    shown = shop.files.show(result, "ann")
    (given,) = upload(shop, 1)
    store.sweep()
    assert shop.files.find(shown, "ann") == result
    assert shop.files.claim(given, "ann", "page").is_file()
    shop.queue._database.rows("update files set expires = 1")
    assert store.sweep() == 2
    assert list(store.folder.iterdir()) == []
    for handle in (shown, given):
        with pytest.raises(NotFoundError):
            shop.files.claim(handle, "ann", "page")


def test_what_is_over_goes_though_nobody_comes(workshop: Callable[..., Workshop]):
    shop = workshop(expiry_s=1.0)
    folder = shop.page("page").new_folder()
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()


def test_what_a_killed_servers_pages_had_goes_and_results_of_its_jobs_stay(
    workshop: Callable[..., Workshop], tmp_path: Path
):
    shop = workshop()
    store = shop.queue.store
    (shop.page("page", "ann").new_folder() / "a.mp4").write_bytes(b"0")
    upload(shop, 1)
    made = tmp_path / "made.mp4"
    made.write_bytes(b"0")
    kept = store.add_result("ann", made, "video", 60.0)
    anew = FileStore(shop.queue._database, shop.limits)
    assert [path.name for path in store.folder.iterdir()] == [kept.path.name]
    assert anew.used("ann") == 1
    anew.remove(kept.id, "ann")


def test_the_studio_has_the_servers_own_queue_and_limits(tmp_path: Path):
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from app.api.app import create_app
    from app.api.run import ServerConfig

    app = create_app(small_avatar, ServerConfig(tmp_path, limits=LIMITS))
    seen: list[Workshop] = []

    def closing(app: FastAPI, workshop: Workshop, live: str | None = None) -> None:
        seen.append(workshop)
        workshop.close()

    async def mounted() -> None:
        import app.studio.screens as ui

        real = ui.mount
        ui.mount = closing
        try:
            assert mount_studio(app) is None
        finally:
            ui.mount = real

    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, mounted()).result()
    app.state.context.database.close()
    (shop,) = seen
    assert shop.queue is app.state.context.queue
    assert shop.limits == LIMITS
