from .credentials import Credentials as Credentials
from .detector import detect as detect
from .origin import Origin as Origin
from .origin import Provenance as Provenance
from .record import Log as Log
from .verdict import Judgement as Judgement
from .watermark import Marker as Marker

__all__ = ["Credentials", "Judgement", "Log", "Marker", "Origin", "Provenance", "detect"]
