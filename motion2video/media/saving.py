"""Small files written whole: under a temporary name, then renamed."""

import os
import tempfile
from pathlib import Path

from weights.errors import OutputError


def save_whole(path: str | os.PathLike[str], data: bytes, what: str) -> Path:
    """Write `data` to `path`, replacing what was there. `what` names it in messages: "the motion".

    Raises OutputError when the place is a folder or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name for {what}")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {what} to {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path
