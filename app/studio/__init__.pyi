from .editor import Take as Take
from .mount import mount_studio as mount_studio
from .project import Project as Project
from .workshop import Workshop as Workshop

__all__ = ["Project", "Take", "Workshop", "mount_studio"]
