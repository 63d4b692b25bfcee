from .database import Database as Database
from .errand import Errand as Errand
from .errand import Work as Work
from .loader import AvatarFactory as AvatarFactory
from .loader import Loader as Loader
from .plan import Pace as Pace
from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .preview import Preview as Preview
from .queue import Job as Job
from .queue import JobQueue as JobQueue
from .queue import JobStore as JobStore
from .store import FileStore as FileStore
from .store import StoredFile as StoredFile
from .store import Upload as Upload

__all__ = [
    "AvatarFactory",
    "Database",
    "Errand",
    "FileStore",
    "Job",
    "JobQueue",
    "JobStore",
    "Loader",
    "Pace",
    "Plan",
    "Preview",
    "StoredFile",
    "Upload",
    "Work",
    "make_plan",
]
