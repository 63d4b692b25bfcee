"""The verdict on a video: ours and untouched, ours and changed since, or unknown."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.provenance.credentials import Credentials
from app.provenance.detector import Found
from app.provenance.pattern import PAYLOAD_BITS
from app.provenance.record import Log

Verdict = Literal["untouched", "changed", "unknown"]
_TOLD = ("time", "id", "file", "version", "seed", "consent", "signed", "provenance")


@dataclass(frozen=True)
class Judgement:
    """A verdict in a `sentence`, and what it rests on: the `mark` in the pictures, the
    `credentials` of the file, and what the log here says of it, each None where there is none.
    """

    verdict: Verdict
    sentence: str
    mark: Found | None
    credentials: Credentials | None
    record: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the payload as it is written in the log."""
        mark = None if self.mark is None else {**asdict(self.mark), "payload": _id(self.mark)}
        known = None if self.credentials is None else asdict(self.credentials)
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "mark": mark,
            "credentials": known,
            "record": self.record,
        }

    def __str__(self) -> str:
        return self.sentence


def judge(digest: str, mark: Found | None, credentials: Credentials | None, log: Log) -> Judgement:
    """The verdict on a file of that SHA-256 (hexadecimal)."""
    ours = credentials is not None and credentials.state == "trusted" and credentials.id is not None
    names = [credentials.id] if credentials is not None and ours else []
    if mark is not None:
        names.append(_id(mark))
    whole = _entry(log, lambda e: e.get("sha256") == digest)
    found = whole or _entry(log, lambda e: e.get("id") in names)
    record = None if found is None else {name: found.get(name) for name in _TOLD}
    if ours or whole is not None:
        by = "its signature is ours" if ours else "its content is in the log here"
        return Judgement(
            "untouched",
            f"This video was made here with Visavis and is untouched: {by}.",
            *(mark, credentials, record),
        )
    if mark is None:
        return Judgement("unknown", _unknown(credentials), mark, credentials, record)
    where = "is in the log here" if record else "is not in the log here, so another Visavis made it"
    if credentials is not None and credentials.state == "valid":
        sentence = (
            "This video was made with Visavis and is as its signer left it, whom nobody here "
            f"vouches for; its mark {_id(mark)} {where}."
        )
    else:
        sentence = (
            "This video was made with Visavis and has been coded again or changed since; its mark "
            f"{_id(mark)} {where}."
        )
    return Judgement("changed", sentence, mark, credentials, record)


def _unknown(credentials: Credentials | None) -> str:
    if credentials is None:
        return (
            "Nothing is known of this video: it has neither our mark nor credentials, which does "
            "not say that it is genuine."
        )
    if credentials.state == "invalid":
        return (
            "Nothing is known of this video: its credentials do not fit it, and no mark is in it."
        )
    whom = credentials.generator or "another program"
    return f"This video is not known here: its credentials are of {whom}, and no mark is in it."


def _entry(log: Log, fits: Any) -> dict[str, Any] | None:
    return next((entry for entry in log.entries() if fits(entry)), None)


def _id(mark: Found) -> str:
    return f"{mark.payload:0{PAYLOAD_BITS // 4}x}"
