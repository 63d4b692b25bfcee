from .bvh import read_bvh as read_bvh
from .bvh import write_bvh as write_bvh
from .gltf import write_glb as write_glb
from .gltf_reader import read_glb as read_glb
from .head_mesh import HeadMesh as HeadMesh
from .live_link import read_live_link as read_live_link
from .live_link import write_live_link as write_live_link

__all__ = [
    "HeadMesh",
    "read_bvh",
    "read_glb",
    "read_live_link",
    "write_bvh",
    "write_glb",
    "write_live_link",
]
