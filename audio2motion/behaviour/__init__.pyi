from .events import EventState as EventState
from .events import Scene as Scene
from .events import step_events as step_events
from .statistics import Person as Person
from .statistics import draw_person as draw_person

__all__ = ["EventState", "Person", "Scene", "draw_person", "step_events"]
