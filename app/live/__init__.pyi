from .config import LiveConfig as LiveConfig
from .framing import Packet as Packet
from .rooms import LiveRooms as LiveRooms
from .rooms import Room as Room
from .session import LiveSession as LiveSession
from .session import LiveState as LiveState

__all__ = ["LiveConfig", "LiveRooms", "LiveSession", "LiveState", "Packet", "Room"]
