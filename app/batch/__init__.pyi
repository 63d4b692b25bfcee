from .batch import Batch as Batch
from .batch import EngineOptions as EngineOptions
from .driver import BatchConfig as BatchConfig
from .driver import Summary as Summary
from .engine import Engine as Engine
from .ledger import Ledger as Ledger
from .manifest import Item as Item
from .manifest import read_manifest as read_manifest

__all__ = [
    "Batch",
    "BatchConfig",
    "Engine",
    "EngineOptions",
    "Item",
    "Ledger",
    "Summary",
    "read_manifest",
]
