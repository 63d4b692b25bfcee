"""Files written whole: under a temporary name beside the place, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from weights.errors import OutputError


@contextmanager
def writing_whole(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends; nothing is left when it raises.

    `what` names it in messages: "the motion". Raises OutputError when the place is a folder or
    cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name for {what}")
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {what} to {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def save_whole(path: str | os.PathLike[str], data: bytes, what: str) -> Path:
    """Write `data` to `path`, replacing what was there; see `writing_whole`."""
    path = Path(path)
    with writing_whole(path, what) as file:
        file.write(data)
    return path
