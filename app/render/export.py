"""From a motion file to one of another program, with the head of a photo where there is one."""

from pathlib import Path

from app.render.output import check_output
from app.render.request import Notify
from motion2video.exchange import EXPORTS, read_motion, write_motion
from motion2video.motion import Motion
from weights.errors import InputError


def export_motion(
    source: Path,
    out: Path,
    portrait: Path | None,
    fps: float | None,
    face: str,
    detector: str,
    notify: Notify,
) -> Motion:
    """Write the motion of `source` to `out` at `fps` (None: its own); returns what was written.

    `portrait` gives a `.glb` its head; `face` and `detector` are as for a render. Raises a
    VisavisError for input that cannot be used and output that cannot be written.
    """
    from motion2video.media.video import exact_rate

    check_output(out, EXPORTS, [path for path in (source, portrait) if path is not None])
    if portrait is not None and out.suffix.lower() != ".glb":
        raise InputError(f"got a portrait for {out}; only a .glb file shows a head")
    motion = read_motion(source)
    if fps is not None:
        motion = motion.resample(float(exact_rate(fps)))
    head = None
    if portrait is not None:
        from motion2video.faces.tracker import FaceTracker
        from motion2video.formats.head_mesh import HeadMesh
        from motion2video.geometry.basis import FaceBasis
        from motion2video.portrait.portrait import Portrait

        loaded = Portrait.load(portrait, tracker=FaceTracker.load(detector), face=face)
        for notice in loaded.notices:
            notify(notice)
        head = HeadMesh.of_portrait(loaded, FaceBasis.load())
    if not motion.mask.all():
        lost = int((~motion.mask).sum())
        notify(f"{lost} of {len(motion)} frames were filled in; {out} does not tell which")
    if motion.detail.any() and out.suffix.lower() != ".bvh":
        notify(f"{out} has no place for the 32 detail components: the face is a little simpler")
    write_motion(motion, out, head)
    return motion
