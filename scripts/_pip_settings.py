"""Print pip's settings as shell assignments of the variables that uv reads instead.

uv ignores pip's configuration files and PIP_* variables. Whoever has told pip where packages come
from should not have to tell uv too. What the user has set for uv itself stays as it is.
"""

import ast
import os
import shlex
import subprocess
import sys

# pip's option -> uv's variable, and what stands between several values there.
VARIABLES = {
    "cert": ("SSL_CERT_FILE", ""),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "no-index": ("UV_NO_INDEX", ""),
    "proxy": ("ALL_PROXY", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
# pip's sections that count for `pip install`, the strongest last.
SECTIONS = ("global", "install", ":env:")


def pip_settings(listing: str) -> dict[str, str]:
    """Option -> value from the lines of `pip config list`: section.option='value'."""
    settings = {}
    for section in SECTIONS:
        for line in listing.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return settings


def uv_variables(settings: dict[str, str]) -> dict[str, str]:
    """uv's variables for pip's settings."""
    variables = {}
    for option, value in settings.items():
        if option in VARIABLES and value.strip():
            name, separator = VARIABLES[option]
            variables[name] = separator.join(value.split()) if separator else value.strip()
    if "UV_INDEX" in variables:
        # pip takes the best version from all indexes; uv by itself the first index with any.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def main() -> None:
    """Print `export NAME=value` for what is not in the environment yet."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    for name, value in uv_variables(pip_settings(listing)).items():
        if name not in os.environ:
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
