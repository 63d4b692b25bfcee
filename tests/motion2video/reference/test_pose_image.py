"""The pose image is drawn by the table that the checkpoints were trained on."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from motion2video.reference.pose_image import LINES, draw_pose

GOLDEN = Path(__file__).with_name("pose_image.png")
# As it was written down from the authors' drawings: colour in the network's order, landmarks.
TABLE = """
10,200,180 | 33-7-163-144-145-153-154-155-133 33-246-161-160-159-158-157-173-133
10,220,180 | 46-53-52-65-55 70-63-105-66-107
180,200,10 | 263-249-390-373-374-380-381-382-362 263-466-388-387-386-385-384-398-362
180,220,10 | 276-283-282-295-285 300-293-334-296-336
10,200,10 | 176-149 150-136 356-454 58-132 152-148 361-288 251-389 132-93 389-356 400-377
10,200,10 | 136-172 377-152 323-361 172-58 454-323 365-379 379-378 148-176 93-234 397-365
10,200,10 | 149-150 288-397 234-127 378-400 127-162 162-21
10,180,20 | 61-146-91-181-84-17
20,10,180 | 17-314-405-321-375-291
100,100,30 | 78-95-88-178-87-14
100,150,50 | 14-317-402-318-324-308
20,80,100 | 61-185-40-39-37-0
80,100,20 | 0-267-269-270-409-291
120,100,200 | 78-191-80-81-82-13
150,120,100 | 13-312-311-310-415-308
"""


def test_lines_and_colours_are_those_of_the_table() -> None:
    wanted = set()
    for row in TABLE.strip().splitlines():
        colour, chains = row.split(" | ")
        told = tuple(map(int, colour.split(",")))
        for chain in chains.split():
            for a, b in pairwise(map(int, chain.split("-"))):
                wanted.add((frozenset((a, b)), told))
    drawn = [(frozenset((a, b)), colour) for a, b, colour in LINES]
    assert set(drawn) == wanted and len(drawn) == len(wanted)


def points() -> np.ndarray:
    """Of the mean face."""
    return np.load(GOLDEN.with_name("pose_points.npy"))


def test_the_mean_face_is_drawn_as_it_was() -> None:
    golden = cv2.imread(str(GOLDEN))
    assert golden is not None
    golden = cv2.cvtColor(golden, cv2.COLOR_BGR2RGB)
    assert np.array_equal(draw_pose(points(), 512, 512), golden)


def test_a_line_is_two_pixels_wide_from_the_pixels_of_its_ends() -> None:
    face = np.full((478, 2), -1.0)
    face[33], face[7] = (0.25, 0.5), (0.5, 0.5)
    drawn = draw_pose(face, 512, 512)
    ys, xs = np.nonzero(drawn.any(2))
    assert set(map(tuple, drawn[ys, xs].tolist())) == {(10, 200, 180)}
    assert 256 in ys and ys.max() - ys.min() <= 2 and {128, 256} <= set(xs.tolist())


def test_a_line_that_leaves_the_picture_is_left_out_and_the_last_pixel_is_within() -> None:
    face = np.full((478, 2), -1.0)
    face[33], face[7], face[163] = (0.5, 0.5), (1.0, 1.0), (1.001, 0.5)
    drawn = draw_pose(face, 512, 512)
    assert drawn[511, 511].any(), "1.0 is the last pixel"
    assert not drawn[200:250, 400:].any(), "no line to the point outside"


def test_any_size_is_the_picture_of_512_resized() -> None:
    whole = draw_pose(points(), 512, 512)
    assert np.array_equal(draw_pose(points(), 256, 256), cv2.resize(whole, (256, 256)))
    assert draw_pose(points(), 320, 192).shape == (192, 320, 3)
