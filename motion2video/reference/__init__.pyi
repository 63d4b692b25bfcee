from .families import FAMILIES as FAMILIES
from .families import Family as Family
from .renderer import ReferenceRenderer as ReferenceRenderer

__all__ = ["FAMILIES", "Family", "ReferenceRenderer"]
