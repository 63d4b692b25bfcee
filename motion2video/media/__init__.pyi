from .container import MediaInfo as MediaInfo
from .container import probe as probe
from .joining import join_videos as join_videos
from .live_encoder import LiveEncoder as LiveEncoder
from .video import VideoReader as VideoReader
from .video import VideoWriter as VideoWriter
from .video import read_video as read_video

__all__ = [
    "LiveEncoder",
    "MediaInfo",
    "VideoReader",
    "VideoWriter",
    "join_videos",
    "probe",
    "read_video",
]
