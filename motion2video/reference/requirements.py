"""What the room needs beside the project's own packages; light, so that it can be asked
anywhere.
"""

from importlib.util import find_spec

from weights.errors import DependencyError
from weights.installation import how_to_add

PACKAGES = ("accelerate", "diffusers", "huggingface_hub", "transformers")


def missing_packages() -> list[str]:
    """Those that are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def require_extra() -> None:
    """Raise DependencyError where one is missing."""
    if missing := missing_packages():
        raise DependencyError(
            f"public checkpoints need {', '.join(missing)}: {how_to_add('reference')}"
        )
