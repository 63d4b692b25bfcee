from .checks import check as check
from .config import ImportConfig as ImportConfig
from .importing import import_recordings as import_recordings
from .layout import Dataset as Dataset
from .layout import Draft as Draft
from .layout import Sample as Sample
from .splits import split as split

__all__ = [
    "Dataset",
    "Draft",
    "ImportConfig",
    "Sample",
    "check",
    "import_recordings",
    "split",
]
