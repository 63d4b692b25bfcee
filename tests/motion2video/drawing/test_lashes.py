"""Lids that close: what of the photo they are drawn from."""

import numpy as np
import pytest
from jaxtyping import Float

from motion2video.drawing.lashes import BASE, HANG, SHARE, split, with_lashes
from motion2video.drawing.layered import LayeredWarp
from motion2video.geometry.basis import FaceBasis, interocular
from motion2video.motion import MOTION_DIM, channel_index
from motion2video.portrait.head import signed_area

TOP, BOTTOM, ABOVE = 159, 145, 27
BLINK = [channel_index("eyeBlinkLeft"), channel_index("eyeBlinkRight")]


@pytest.fixture(scope="module")
def basis() -> FaceBasis:
    return FaceBasis.load()


def shut(basis: FaceBasis, amount: float = 1.0) -> Float[np.ndarray, "478 3"]:
    values = np.zeros((1, MOTION_DIM), np.float32)
    values[:, BLINK] = amount
    return (basis.canonical + basis.offsets(values)[0]).astype(np.float32)


def test_the_strips_of_lids_are_split_without_a_gap_or_a_fold(basis: FaceBasis) -> None:
    marks = basis.canonical.astype(np.float32)
    points = np.concatenate([marks, with_lashes(marks, marks)])
    before = signed_area(marks[basis.triangles][..., :2])
    after = signed_area(points[split(basis.triangles, 478)][..., :2])
    assert after.sum() == pytest.approx(before.sum(), rel=1e-5)
    assert (np.sign(after) == np.sign(before[0])).mean() == (
        np.sign(before) == np.sign(before[0])
    ).mean(), "all of them look where they looked"
    assert len(BASE) == len(points)


def test_lashes_stay_as_high_as_they_are_while_the_lid_comes_down(basis: FaceBasis) -> None:
    marks, closed = basis.canonical.astype(np.float32), shut(basis)
    mine = int(np.flatnonzero(BASE[478:] == TOP)[0])
    high = [np.linalg.norm((with_lashes(m, marks)[mine] - m[TOP])[:2]) for m in (marks, closed)]
    assert high[1] == pytest.approx(high[0], rel=0.02)
    strip = np.linalg.norm((closed[ABOVE] - closed[TOP])[:2])
    assert high[1] < 0.6 * SHARE * strip, "of all that was drawn out it is the lesser part"


def test_the_edge_of_a_shut_lid_hangs_over_the_lower_one_and_of_an_open_one_not(
    basis: FaceBasis,
) -> None:
    marks, closed = basis.canonical.astype(np.float32), shut(basis)
    roots = int(np.flatnonzero(BASE[478:] == TOP)[1])
    assert np.array_equal(with_lashes(marks, marks)[roots], marks[TOP])
    half = shut(basis, 0.1)
    assert np.allclose(with_lashes(half, marks)[roots], half[TOP])
    over = closed[TOP] - with_lashes(closed, marks)[roots]
    away = float(np.linalg.norm(over[:2]) / interocular(closed))
    assert away == pytest.approx(HANG, rel=0.05)
    assert over[2] > 0, "and nearer"


def test_a_lid_that_shuts_keeps_the_colour_of_skin(basis: FaceBasis) -> None:
    """Of a face whose lids are white but for black lashes."""
    side = 256
    scale = np.array([1, -1, -1]) * (60 / interocular(basis.canonical))
    marks, closed = (
        (points * scale + np.array([side / 2, side / 2, 0])).astype(np.float32)
        for points in (basis.canonical, shut(basis))
    )
    photo = np.full((side, side, 3), 230, np.uint8)
    y, x = np.mgrid[:side, :side]
    for top, above in ((159, 27), (386, 257)):
        edge, over = marks[top, :2], marks[above, :2]
        lash = edge + 0.4 * (over - edge)
        band = (np.abs(x - edge[0]) < 16) & (y <= edge[1]) & (y > lash[1])
        photo[band] = 0
    alpha = np.zeros((side, side), np.float32)
    alpha[20:, 40:216] = 1
    frame = LayeredWarp(photo, marks, basis, alpha).warp(closed, marks)
    middle = (closed[159, :2] * 0.6 + closed[27, :2] * 0.4).round().astype(int)
    assert frame[middle[1], middle[0]].mean() > 200, "skin, where lashes were drawn out before"
    bottom = closed[159, :2].round().astype(int)
    assert frame[bottom[1] - 1 : bottom[1] + 3, bottom[0]].mean() < 120, "lashes at its edge"
