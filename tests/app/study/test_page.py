"""The page in a real browser: a rater answers, reloads, saves; the file is what is analysed."""

import http.server
import json
import threading
from functools import partial
from pathlib import Path

import pytest

from app.study.analysis import analyse
from app.study.design import make_study
from app.study.dimensions import DIMENSIONS
from tests.app.studio.studio_server import chromium

pytestmark = pytest.mark.browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, format: str, *args: object) -> None:
        """No log."""


def test_a_rater_answers_and_what_they_save_is_analysed(tmp_path: Path):
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        for clip in ("a", "b"):
            (tmp_path / name / f"{clip}.mp4").write_bytes(b"no video at all")
    make_study([tmp_path / "ours", tmp_path / "theirs"], tmp_path / "study", raters=2, each=2)
    handler = partial(Quiet, directory=tmp_path / "study" / "page")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            page = browser.new_page(accept_downloads=True)
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            page.fill("#rater", "2")
            page.click("text=Begin")
            shown = []
            for number in range(2):
                assert page.inner_text("#told") == f"Pair {number + 1} of 2"
                shown.append(page.get_attribute("#left", "src"))
                for dimension in DIMENSIONS:
                    page.check(f'input[name="{dimension}"][value="left"]')
                page.click("text=Next")
                page.reload()  # nothing is lost
            with page.expect_download() as download:
                page.click("text=Save the answers")
            saved = tmp_path / "answers.json"
            download.value.save_as(saved)
    finally:
        server.shutdown()
        server.server_close()
    told = json.loads(saved.read_text())
    assert told["rater"] == 1 and len(told["answers"]) == 2 and len(set(shown)) == 2
    outcome = analyse(tmp_path / "study" / "key.json", [saved])
    assert outcome.answers == 2 * len(DIMENSIONS) and outcome.left_share == 1
