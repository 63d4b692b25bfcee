"""Turned rectangles, and what the detector makes of its guesses."""

import numpy as np
import pytest

from motion2video.faces.detector import _anchors, _decoded, _merged
from motion2video.faces.region import Region


def test_a_crop_holds_what_place_says():
    """On a picture whose colours are the coordinates."""
    down, right = np.mgrid[:200, :250]
    image = np.stack([right, down, 0 * right], -1).astype(np.uint8)
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1).reshape(-1, 2) / 32
    region = Region(120.0, 90.0, 64.0, 64.0, 0.4)
    crop = region.crop(image, 32, repeat=True)
    assert np.abs(crop.reshape(-1, 3)[:, :2] - region.place(grid)).max() <= 0.55


@pytest.mark.parametrize(("repeat", "outside"), [(True, 9), (False, 0)])
def test_outside_the_picture_is_black_or_its_edge(repeat: bool, outside: int):
    image = np.full((20, 30, 3), 9, np.uint8)
    crop = Region(15.0, 10.0, 60.0, 60.0).crop(image, 16, repeat)
    assert crop[0, 0, 0] == outside and crop[8, 8, 0] == 9


def test_a_region_far_outside_the_picture_is_its_edge():
    region = Region(1e5, -1e5, 50.0, 50.0)
    crop = region.crop(np.full((8, 8, 3), 7, np.uint8), 4, repeat=True)
    assert (crop == 7).all()


@pytest.mark.parametrize("shape", [(20, 70_000), (40_000, 20)])
def test_a_picture_longer_than_opencv_can_address_is_looked_at(shape: tuple[int, int]):
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2 :, width // 2 :] = 200
    whole = Region(width / 2, height / 2, float(width), float(height))
    crop = whole.crop(image, 8, repeat=True)
    assert (crop[:4, :4] == 0).all() and (crop[5:, 5:] == 200).all()


def test_a_region_around_points_is_turned_as_their_line():
    points = np.array([[0.0, 0.0], [4.0, 2.0]])
    region = Region.around(points, points[0], points[0] + [1.0, 1.0])
    assert region == Region(2.0, 1.0, 4.0, 2.0, np.pi / 4)
    assert region.squared().grown(1.5) == Region(2.0, 1.0, 6.0, 6.0, np.pi / 4)


def test_overlap_is_shared_area_over_the_area_of_both():
    one = Region(1.0, 1.0, 2.0, 2.0)
    assert one.overlap(one) == pytest.approx(1)
    assert one.overlap(Region(2.0, 1.0, 2.0, 2.0)) == pytest.approx(1 / 3)
    assert one.overlap(Region(9.0, 1.0, 2.0, 2.0)) == 0


def test_the_detectors_cells_cover_the_picture():
    cells = _anchors()
    assert cells.shape == (896, 2)
    np.testing.assert_allclose(cells.mean(0), 0.5)
    np.testing.assert_allclose(cells[:3], [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]])


def test_guesses_count_from_the_middle_of_their_cell():
    raw = np.zeros((1, 16), np.float32)
    raw[0, :6] = [12.8, 0, 25.6, 51.2, -12.8, 6.4]
    guess = _decoded(raw, np.array([[0.5, 0.5]]))[0]
    np.testing.assert_allclose(guess[:3], [[0.5, 0.3], [0.7, 0.7], [0.4, 0.55]], atol=1e-6)


def test_guesses_at_one_face_are_averaged_by_how_sure_they_are():
    corners = np.array([[[0, 0], [1, 1]], [[0, 0], [1, 1.2]], [[5, 5], [6, 6]]], float)
    guesses = np.concatenate([corners, np.zeros((3, 6, 2))], axis=1)
    faces = _merged(guesses, np.array([0.6, 0.9, 0.95]))
    assert len(faces) == 2
    np.testing.assert_allclose(faces[0][:2], corners[2])
    np.testing.assert_allclose(faces[1][1], [1, (0.6 * 1 + 0.9 * 1.2) / 1.5])
    assert _merged(guesses[:0], np.zeros(0)) == []
