"""The tab that says whether a video is one of ours, in a real browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.provenance.credentials import sidecar_of
from app.provenance.origin import Provenance
from tests.app.provenance.making import coded_again, made
from tests.app.serving import small_avatar
from tests.app.studio.studio_server import QUIET, Studio, chromium, serve, window

pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")
pytestmark = [pytest.mark.browser, *QUIET]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with serve(small_avatar(), tmp_path_factory.mktemp("studio")) as running:
        yield running


def test_a_video_is_judged_in_one_sentence(studio: Studio, portrait: Path, tmp_path: Path):
    """Our own; coded again; and one of another Visavis, whose credentials lie beside it."""
    made(small_avatar(), portrait, tmp_path / "ours.mp4")
    coded_again(tmp_path / "ours.mp4", tmp_path / "again.mp4")
    elsewhere = replace(small_avatar(), provenance=Provenance(folder=tmp_path / "keys"))
    made(elsewhere, portrait, tmp_path / "strange.webm", seed=5)  # another seed: another mark
    with chromium() as browser, window(browser, studio) as visitor:
        page = visitor.page
        visitor.show_tab("Check")

        def judged(video: Path, words: str, beside: Path | None = None) -> None:
            for name, path in (("file", video), ("beside", beside)):
                remove = page.locator(f"#check-{name} button[aria-label='Clear']")
                if remove.count():
                    remove.click()
                if path is not None:
                    page.set_input_files(f"#check-{name} input[type=file]", path)
                    page.locator(f"#check-{name}", has_text=path.name.partition(".")[0]).wait_for()
                    page.wait_for_timeout(500)
            page.locator("#check-go").click()
            page.locator("#check-verdict", has_text=words).wait_for(timeout=30_000)

        judged(tmp_path / "ours.mp4", "made here with Visavis and is untouched")
        judged(tmp_path / "again.mp4", "has been coded again or changed since")
        judged(tmp_path / "strange.webm", "is not in the log here, so another Visavis made it")
        beside = sidecar_of(tmp_path / "strange.webm")
        judged(tmp_path / "strange.webm", "whom nobody here vouches for", beside)
        assert visitor.faults == []
