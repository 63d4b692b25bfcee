"""The turn editor: its rows as text, and what a person does with them in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.render.demo import ASSETS
from app.studio.turn_rows import FIRST_ROWS, exchanged, recordings_of, turns_of
from tests.app.studio.studio_server import SHOTS, chromium
from weights.errors import InputError, LimitError, NotFoundError

if TYPE_CHECKING:
    from playwright.sync_api import Page

in_browser = pytest.mark.browser
AT = "http://studio.test/studio/"
VOICES = json.dumps([["heart", "Heart, woman"], ["michael", "Michael, man"]])
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>turns</title><style>
:root {{ --border-color-primary: #ccc; --radius-md: 8px; --radius-sm: 4px; --v-strong: #9a3412;
  --body-text-color: #222; --body-text-color-subdued: #666; --input-background-fill: #fff; }}
body.dark {{ --border-color-primary: #555; --body-text-color: #eee; --input-background-fill: #222;
  --body-text-color-subdued: #bbb; --v-strong: #fb923c; background: #111; color: #eee; }}
body {{ font: 16px sans-serif; margin: 1rem; }}
{(ASSETS / "studio" / "studio.css").read_text(encoding="utf-8")}</style></head><body>
<div id="turns"><textarea hidden></textarea></div>
<div class="v-turns" data-most="4" data-voices='{VOICES}'></div><div id="plan"></div>
<script>{(ASSETS / "studio" / "turns.js").read_text(encoding="utf-8")}</script></body></html>"""


def test_rows_are_turns() -> None:
    first, *_ = turns_of(FIRST_ROWS)
    assert first.who == "interlocutor" and "fog" in (first.text or "")
    rows = json.dumps([{"who": "agent", "audio": "a/b.wav"}, {"who": "agent", "text": "Hi."}])
    assert recordings_of(rows) == ("a/b.wav",)
    assert recordings_of(exchanged(rows, str.upper)) == ("A/B.WAV",)
    assert exchanged("", str.upper) == ""

    def refuse(handle: str) -> str:
        raise NotFoundError("that is no file")

    with pytest.raises(NotFoundError, match=r"^turn 1: that is no file"):
        exchanged(rows, refuse)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("[]", "no turn yet"),
        ('[{"who": "agent", "text": "Hi."}, {"who": "agent", "text": " "}]', "turn 2: .*no words"),
        ('[{"who": "agent", "audio": ""}]', "turn 1: .*no recording yet"),
        ('[{"who": "agent", "text": "Hi.", "pause": 11}]', "turn 1: .*pause 11"),
        ("{", "no list"),
        ("[3]", "no list"),
        ("[" * 5000, "no list"),
    ],
)
def test_what_is_wrong_with_a_row_names_it(rows: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        turns_of(rows)


def test_more_rows_than_a_dialogue_has() -> None:
    with pytest.raises(LimitError, match="41 turns"):
        turns_of(json.dumps([{"who": "agent", "text": "Hi."}] * 41))


@pytest.fixture(scope="module")
def page() -> "Iterator[Page]":
    """The editor by itself on a page whose server only takes uploads."""
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 620, "height": 800})
        opened.route(AT, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        opened.route(
            "**/gradio_api/upload",
            lambda route: route.fulfill(body='["key/said.wav"]', content_type="application/json"),
        )
        opened.route("**/gradio_api/file=*", lambda route: route.fulfill(status=404))
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        yield opened
        assert faults == []


def told_to_server(page: "Page") -> list[dict[str, Any]]:
    """The rows once they are there."""
    page.wait_for_timeout(350)
    return json.loads(page.locator("#turns textarea").input_value())


def open_with(page: "Page", rows: list[dict[str, Any]]) -> None:
    """The server puts rows there, and says something, as it does."""
    page.goto(AT)
    page.evaluate(
        "rows => { document.querySelector('#turns textarea').value = JSON.stringify(rows);"
        " document.querySelector('#plan').innerHTML = '<p>A plan.</p>'; }",
        rows,
    )
    page.wait_for_function(f"document.querySelectorAll('.v-turn').length === {len(rows)}")


TWO = [
    {"who": "interlocutor", "text": "How are you?", "pause": 0.5},
    {"who": "agent", "text": "Fine."},
]


@in_browser
def test_rows_are_written_added_moved_and_deleted(page: "Page") -> None:
    open_with(page, TWO)
    page.get_by_label("Words of turn 2").fill("Fine, thanks.")
    page.get_by_label("Voice of turn 2").select_option("michael")
    page.get_by_label("Pause before turn 1, in seconds").fill("")
    page.get_by_role("button", name="Add a turn").click()
    assert page.evaluate("document.activeElement.ariaLabel") == "Words of turn 3"
    page.keyboard.type("And you?")
    page.get_by_label("Who speaks in turn 3").select_option("agent")
    assert told_to_server(page) == [
        {"who": "interlocutor", "text": "How are you?"},
        {"who": "agent", "text": "Fine, thanks.", "voice": "michael"},
        {"who": "agent", "text": "And you?"},
    ]
    page.get_by_role("button", name="Move turn 3 up").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert [row["text"][:4] for row in told_to_server(page)] == ["And ", "How ", "Fine"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Move turn 1 down"
    assert page.get_by_role("button", name="Move turn 1 up").is_disabled()
    page.get_by_role("button", name="Delete turn 2").click()
    assert [row["text"][:4] for row in told_to_server(page)] == ["And ", "Fine"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Delete turn 2"
    for _ in range(2):
        page.get_by_role("button", name="Add a turn").click()
    assert page.get_by_role("button", name="Add a turn").is_disabled(), "four are the most"


@in_browser
def test_a_turn_may_be_a_recording(page: "Page", tmp_path: Path) -> None:
    open_with(page, TWO)
    page.get_by_label("Turn 1 is").select_option("audio")
    assert told_to_server(page)[0] == {"who": "interlocutor", "audio": "", "pause": 0.5}
    said = tmp_path / "said.wav"
    said.write_bytes(b"RIFF")
    page.get_by_label("Recording of turn 1").set_input_files(said)
    page.wait_for_selector(".v-turn audio")
    assert told_to_server(page)[0]["audio"] == "key/said.wav"
    page.get_by_label("Turn 1 is").select_option("text")
    assert told_to_server(page)[0] == {"who": "interlocutor", "text": "", "pause": 0.5}


@in_browser
def test_what_is_wrong_is_said_at_its_row(page: "Page") -> None:
    open_with(page, TWO)
    page.evaluate(
        "document.querySelector('#plan').innerHTML ="
        " '<p data-turn=\"2\">turn 2: there are no words yet</p>'"
    )
    page.wait_for_selector(".v-turn-bad")
    wrong = page.locator(".v-turn-wrong")
    assert wrong.all_inner_texts() == ["", "there are no words yet"]
    for name, dark, width in (("light", False, 620), ("dark", True, 358)):
        page.set_viewport_size({"width": width, "height": 700})
        page.evaluate("on => document.body.classList.toggle('dark', on)", dark)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"turns-{name}.png")
    page.evaluate("document.querySelector('#plan').innerHTML = '<p>A plan.</p>'")
    page.wait_for_selector(".v-turn-bad", state="detached")
