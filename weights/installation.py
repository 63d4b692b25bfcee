"""The one command that adds an optional part to the very installation that asks for it.

The project is on no package index: what adds an extra depends on whether it runs from a checkout,
from a wheel or from a repository's address.
"""

import json
import shlex
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME = "visavis"


def how_to_add(extra: str) -> str:
    """The command, one line for a shell, that installs the extra beside what is there."""
    origin = _origin()
    url = str(origin.get("url", ""))
    words: list[str] = []
    if origin.get("dir_info", {}).get("editable"):
        root = Path(unquote(urlsplit(url).path))
        if (constraints := root / "constraints.txt").is_file():
            words += ["--constraint", str(constraints)]
        words += ["--editable", f"{root}[{extra}]"]
    elif url:
        kind = origin.get("vcs_info", {})
        address = f"{kind['vcs']}+{url}@{kind['commit_id']}" if kind else url
        words += [f"{_NAME}[{extra}] @ {address}"]
    else:
        words += [f"{_NAME}[{extra}]"]
    return shlex.join((*_installer(), *words))


def _installer() -> list[str]:
    """pip of this Python; uv makes environments without one."""
    if util.find_spec("pip") is None:
        return ["uv", "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install"]


def _origin() -> dict[str, Any]:
    """Where the installation came from, as pip and uv write it down (PEP 610); empty: an index."""
    try:
        written = metadata.distribution(_NAME).read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # run from a checkout without being installed
        root = Path(__file__).parents[1]
        if not (root / "pyproject.toml").is_file():
            return {}
        return {"url": root.as_uri(), "dir_info": {"editable": True}}
    return json.loads(written) if written else {}
