"""The picture of the studio in its documentation: Create after its first video was made.

python -m scripts.evaluate.studio_picture docs/assets/studio.jpg [--url http://127.0.0.1:8000]

The studio must be running there (`visavis app`); extra `browser`.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image

_WIDTH, _HEIGHT, _QUALITY = 1280, 1400, 85
_WIDE = 960
"""Pixels across of the file, which is shown smaller than it was on the screen."""
_PATIENCE_MS = 300_000
_SPOKEN = "document.querySelector('#video video').currentTime > 0.4"


def main() -> None:
    """Parse the command line, make a video in a browser, write the picture."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(f"{args.url}/studio/?__theme=light")
        page.wait_for_selector("#make:enabled")
        page.click("#make")
        page.wait_for_selector("#video video")
        page.wait_for_function(_SPOKEN)
        page.evaluate("document.querySelector('#video video').pause()")
        page.wait_for_function("document.querySelectorAll('#past-list button').length")
        page.evaluate("window.scrollTo(0, 0)")
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    shot = shot.convert("RGB")
    shot.thumbnail((_WIDE, shot.height), Image.Resampling.LANCZOS)
    shot.save(args.out, quality=_QUALITY, optimize=True)


if __name__ == "__main__":
    main()
