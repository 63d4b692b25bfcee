"""Whether a video is one of ours: what its file, its pictures and the log say, put together."""

from pathlib import Path

from app.provenance import credentials
from app.provenance.detector import detect
from app.provenance.origin import Provenance, digest_of
from app.provenance.record import Log
from app.provenance.verdict import Judgement, judge
from app.render.reading import Reader
from app.render.request import Notify
from weights.errors import MediaError
from weights.opening import open_regular


def verify(
    path: Path,
    provenance: Provenance,
    reader: Reader,
    notify: Notify,
    beside: bytes | None = None,
) -> Judgement:
    """The verdict on a file; `beside` are credentials that lay there, as bytes. `reader` says where
    it is decoded: a stranger's in a confined process.

    Raises MediaError for what is no video or picture.
    """
    with open_regular(path, "file", 1 << 40, MediaError):
        digest = digest_of(path)
    known = None
    if (why := credentials.missing()) is None:
        known = reader.credentials(path, provenance.anchors, beside)
    else:
        notify(f"credentials were not read: {why}")
    mark = detect(reader.pictures(path), provenance.key)
    return judge(digest, mark, known, Log(provenance.place))
