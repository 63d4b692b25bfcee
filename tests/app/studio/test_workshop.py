"""Pages of visitors: what is theirs alone, and when it goes; their work is the queue's."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.intake.limits import Limits
from app.jobs.crew import Running
from app.render.result import RenderResult
from app.studio import history
from app.studio.creation import write_reply
from app.studio.made import Creation, Sheet
from app.studio.workshop import Workshop
from tests.app.studio.shop import open_shop
from tests.audio2motion.voice.endpoint_server import serve
from weights.errors import BusyError, InputError

RESULT = RenderResult(
    "me-hi.mp4",
    1,
    25.0,
    0.04,
    0.1,
    10.0,
    1.0,
    (64, 64),
    0,
    (0.0, 0.0, 1.0, 1.0),
    (),
    (),
    {},
    {},
    {},
)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with open_shop(tmp_path, limits=Limits(expiry_s=100.0)) as shop:
        yield shop


def until(gate: threading.Event) -> Callable[[Running], str]:
    """Work that goes on until the gate opens, and can be cancelled."""

    def work(run: Running) -> str:
        while not gate.wait(0.01):
            run.progress("waiting", 1, 2)
        return "made"

    return work


def test_a_visitor_who_leaves_is_forgotten_with_their_files(workshop: Workshop):
    page = workshop.page("one")
    mine, other = page.new_folder(), workshop.page("two").new_folder()
    (mine / "video.mp4").touch()
    errand = workshop.submit(page, until(threading.Event()))
    assert workshop.page("one") is page
    workshop.leave("one")
    assert errand.wait(1.0)
    assert (mine.exists(), other.exists()) == (False, True)
    assert workshop.page("one") is not page


def test_a_tab_that_is_loaded_anew_is_the_page_that_it_was(workshop: Workshop):
    page, gate = workshop.enter("one", "anna", "tab"), threading.Event()
    mine = page.new_folder()
    page.desk("create").errand = errand = workshop.submit(page, until(gate))
    workshop.leave("one")
    other = workshop.enter("two", "ben", "tab")
    assert other is not page and other.desk("create").errand is None, "another browser's"
    stray = workshop.page("three", "anna").new_folder()
    assert workshop.enter("three", "anna", "tab") is page
    assert workshop.page("three", "anna").desk("create").errand is errand
    workshop.leave("one")
    assert (mine.exists(), stray.exists(), errand.ended) == (True, False, False)
    assert workshop.page("one", "anna") is not page
    gate.set()
    assert errand.wait(5.0) and errand.result == "made"


def test_a_tab_that_does_not_come_back_is_left_after_a_while(workshop: Workshop):
    workshop.grace_s = 0.3
    pages = [workshop.enter(key, "anna", key) for key in ("gone", "there", "used")]
    folders = [page.new_folder() for page in pages]
    errands = [workshop.submit(page, until(threading.Event())) for page in pages]
    for key in ("gone", "used"):
        workshop.leave(key)
    time.sleep(0.2)
    assert workshop.page("used", "anna") is pages[2], "the line was bad, the page is open"
    assert not errands[0].wait(0.1), "it may come back"
    assert errands[0].wait(5.0)
    gone(folders[0])
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert not errands[1].ended and not errands[2].ended


def test_what_a_closed_tab_asked_for_and_is_answered_late_does_not_bring_it_back(
    workshop: Workshop,
):
    """A request that waited while its tab was closed, before its page went and after."""
    workshop.grace_s, asked = 0.3, time.monotonic()
    page, other = (workshop.enter(key, "anna", key) for key in ("closed", "reloaded"))
    folders = [page.new_folder(), other.new_folder()]
    workshop.leave("closed")
    assert workshop.page("closed", "anna", asked) is page
    assert workshop.enter("again", "anna", "reloaded") is other
    stray = workshop.page("reloaded", "anna", asked)
    assert stray is not other, "its page is another's by now"
    folders.append(stray.new_folder())
    gone(folders[0])
    after = workshop.page("closed", "anna", asked)
    assert after is not page
    folders.append(after.new_folder())
    gone(folders[2])
    gone(folders[3])
    assert folders[1].exists()


def gone(folder: Path) -> None:
    """Soon it is."""
    deadline = time.monotonic() + 5
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()


def test_who_does_nothing_for_long_is_forgotten_unless_something_runs(workshop: Workshop):
    pages = [workshop.page("idle"), workshop.page("busy")]
    idle, busy = (page.new_folder() for page in pages)
    errand = workshop.submit(pages[1], until(threading.Event()))
    workshop.sweep(time.monotonic() + 99)
    assert idle.exists()
    workshop.sweep(time.monotonic() + 101)
    assert (idle.exists(), busy.exists()) == (False, True)
    errand.cancel()


def test_what_was_made_outlives_its_page_but_not_its_visitor(workshop: Workshop, tmp_path: Path):
    page, shelf = workshop.page("one", "anna"), workshop.shelf("anna")
    photo = page.new_folder() / "me.jpg"
    photo.write_bytes(b"photo")
    video, motion = tmp_path / "me-hi.mp4", tmp_path / "me-hi.npz"
    for path in (video, motion):
        path.touch()
    creation = Creation(video, motion, RESULT, False)
    sheet = Sheet("Form", {"photo": str(photo), "text": "Hi."}, {"photo": str(photo)})
    made = [history.keep(shelf, creation, sheet, {}, b"") for _ in range(history.MOST + 1)]
    assert len(shelf.results) == history.MOST and not made[0].folder.exists()
    workshop.leave("one")
    page = workshop.page("two", "anna")
    form = history.again(history.find(workshop.shelf("anna"), made[-1].key), page).form
    assert Path(form["photo"]).read_bytes() == b"photo" and form["text"] == "Hi."
    assert Path(form["photo"]).is_relative_to(workshop.queue.store.folder)
    with pytest.raises(InputError, match="gone"):
        history.find(workshop.shelf("ben"), made[-1].key)
    history.remove(shelf, made[-1].key)
    assert not made[-1].folder.exists()
    workshop.sweep(time.monotonic() + 101)
    assert not made[-2].folder.exists()


def test_no_file_of_a_busy_page_is_past_its_time(workshop: Workshop):
    store, gate = workshop.queue.store, threading.Event()
    pages = [workshop.page("idle"), workshop.page("busy")]
    idle, busy = (page.new_folder() for page in pages)
    errand = workshop.submit(pages[1], until(gate))
    workshop.queue._database.rows("update files set expires = 1")
    assert store.sweep() == 1
    assert (idle.exists(), busy.exists()) == (False, True)
    assert store.get(busy.name, "busy").path == busy
    gate.set()
    assert errand.wait(5.0)
    assert store.sweep() == 1
    assert not busy.exists()


def test_a_page_cancels_its_own_errands_and_no_others(workshop: Workshop):
    gate = threading.Event()
    mine, other = workshop.page("mine"), workshop.page("other")
    first, second = (workshop.submit(page, until(gate)) for page in (mine, other))
    mine.cancel()
    assert first.wait(1.0)
    gate.set()
    assert second.wait(5.0)
    assert (first.state, second.state) == ("cancelled", "succeeded")


def test_a_reply_is_one_at_a_time_and_ends_with_its_page(workshop: Workshop):
    """Others are answered meanwhile, and whoever left is not waited for."""
    page = workshop.page("one")
    with serve() as model, ThreadPoolExecutor(2) as pool:
        workshop.endpoint = model.endpoint(speech_model=None)
        model.pieces, model.chat = ["It is late. ", "Good night."], "wait"
        asked = pool.submit(write_reply, workshop, page, "What time is it?")
        while not model.asked:
            time.sleep(0.01)
        with pytest.raises(BusyError, match="still answering"):
            write_reply(workshop, page, "And now?")
        assert page.busy
        workshop.leave("one")
        model.go_on.set()
        with pytest.raises(InputError, match="not waited for"):
            asked.result(20)
        assert write_reply(workshop, workshop.page("two"), "And now?") == "It is late. Good night."
    assert not page.busy
