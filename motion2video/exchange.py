"""Motion in files of other programs, by the file's ending.

    .npz  Motion's own: everything
    .csv  Live Link Face: expression and head rotation
    .bvh  head rotation and translation, gaze
    .glb  glTF 2.0: expression, head rotation and translation, with a head that plays in any viewer

Detail components and the flags of lost frames are only in `.npz`; after reading another file the
detail is zero and every frame valid, but for those whose rows were dropped.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from motion2video.motion import Motion
from weights.errors import InputError

if TYPE_CHECKING:
    from motion2video.formats.head_mesh import HeadMesh

EXPORTS = (".csv", ".bvh", ".glb")
SUFFIXES = (".npz", *EXPORTS)


def read_motion(path: str | os.PathLike[str]) -> Motion:
    """Read a motion file at its own frame rate; a file with another ending is read as `.npz`.

    Raises InputError when there is no such file, MotionError for what is wrong with it.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        from motion2video.formats.live_link import read_live_link

        return read_live_link(path)
    if suffix == ".bvh":
        from motion2video.formats.bvh import read_bvh

        return read_bvh(path)
    if suffix == ".glb":
        from motion2video.formats.gltf_reader import read_glb

        return read_glb(path)
    return Motion.load(path)


def write_motion(
    motion: Motion, path: str | os.PathLike[str], head: "HeadMesh | None" = None
) -> Path:
    """Write a motion file of the kind that the path's ending says; `head` is the one that a
    `.glb` shows (the mean person when there is none).

    Raises InputError for another ending or a head in a file without one, OutputError when the
    place cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if head is not None and suffix != ".glb":
        raise InputError(f"got a head for {path}; only a .glb file shows one")
    if suffix == ".npz":
        return motion.save(path)
    if suffix == ".csv":
        from motion2video.formats.live_link import write_live_link

        return write_live_link(motion, path)
    if suffix == ".bvh":
        from motion2video.formats.bvh import write_bvh

        return write_bvh(motion, path)
    if suffix == ".glb":
        from motion2video.formats.gltf import write_glb

        return write_glb(motion, path, head)
    raise InputError(f"got the motion file {path}; wanted one that ends in {' or '.join(SUFFIXES)}")
