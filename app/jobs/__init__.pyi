from .database import Database as Database
from .loader import AvatarFactory as AvatarFactory
from .loader import Loader as Loader
from .plan import Pace as Pace
from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .queue import Job as Job
from .queue import JobQueue as JobQueue
from .queue import JobStore as JobStore
from .store import FileStore as FileStore
from .store import StoredFile as StoredFile
from .store import Upload as Upload

__all__ = [
    "AvatarFactory",
    "Database",
    "FileStore",
    "Job",
    "JobQueue",
    "JobStore",
    "Loader",
    "Pace",
    "Plan",
    "StoredFile",
    "Upload",
    "make_plan",
]
