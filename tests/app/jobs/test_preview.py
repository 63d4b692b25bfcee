"""What a video looks like while it is made."""

import numpy as np

from app.jobs.preview import Preview


def test_the_preview_grows_and_stays_small():
    preview = Preview()
    frame = np.zeros((64, 48, 3), np.uint8)
    for _ in range(25 * 100):
        preview.show(frame)
    assert 20 <= len(preview.strip) <= 40
    assert preview.look[:2] == b"\xff\xd8"
