from .allowance import require_allowed as require_allowed
from .inspection import inspect as inspect
from .limits import Limits as Limits
from .sandbox import Sandbox as Sandbox

__all__ = ["Limits", "Sandbox", "inspect", "require_allowed"]
