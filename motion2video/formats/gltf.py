"""Motion to glTF 2.0 (`.glb`): an animated head that plays in any viewer.

Node "Head" carries the mesh of the head (skin, mouth, gums, tongue and teeth; 52 morph targets,
named in `extras.targetNames` of the mesh) and the animation of weights, rotation and translation;
its children LeftEye and RightEye turn with the gaze. Metres; glTF's axes are Motion's: y up,
right-handed, the face looks along +z. Targets hold the points that they move alone. Detail
components are not in the file. pygltflib knows the container and the schema.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped

from motion2video.formats.head_mesh import Eyeball, HeadMesh, Surface
from motion2video.geometry.angles import EYES, eye_angles, head_rotation
from motion2video.geometry.basis import INTEROCULAR_M, FaceBasis
from motion2video.motion import EXPRESSION_NAMES, Motion
from weights.errors import MotionError
from weights.saving import save_whole

if TYPE_CHECKING:
    from pygltflib import Primitive

FLOAT, UNSIGNED_SHORT = 5126, 5123  # the numbers of the glTF specification
_VERTICES, _INDICES = 34962, 34963
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_SKIN, _WHITE, _IRIS, _PUPIL = 0, 5, 6, 7
# Linear RGB and roughness of the materials: of the head's parts in their order, then the eyes'.
_MATERIALS = (
    ("Skin", (0.62, 0.42, 0.34), 0.65),
    ("Mouth", (0.1, 0.02, 0.02), 0.9),
    ("EyeSocket", (0.45, 0.2, 0.17), 0.8),
    ("Gums", (0.33, 0.09, 0.085), 0.4),
    ("Teeth", (0.72, 0.66, 0.54), 0.25),
    ("EyeWhite", (0.75, 0.73, 0.7), 0.3),
    ("Iris", (0.0, 0.0, 0.0), 0.3),
    ("Pupil", (0.005, 0.005, 0.005), 0.2),
)
_JPEG_QUALITY = 92
_STILL = 1e-4  # interocular distances: what a target moves less, it leaves where it is


def write_glb(motion: Motion, path: str | os.PathLike[str], head: HeadMesh | None = None) -> Path:
    """Write a motion as the animation of `head` (the mean person when there is none).

    Raises MotionError for a motion without frames, OutputError.
    """
    if not len(motion):
        raise MotionError("got a motion without frames; a glTF animation needs at least one")
    parts = _Parts()
    _add_head(parts, head or HeadMesh.average(FaceBasis.load()))
    _add_animation(parts, motion)
    return save_whole(path, parts.to_bytes(), "the head")


class _Parts:
    """A glTF file while it is put together, and its one binary buffer."""

    def __init__(self) -> None:
        from pygltflib import GLTF2, Asset

        self.gltf: GLTF2 = GLTF2(asset=Asset(version="2.0", generator="visavis"))
        self._data = bytearray()

    def view(self, data: bytes, target: int | None = None) -> int:
        """A buffer view of some bytes; its number."""
        from pygltflib import BufferView

        self._data += b"\0" * (-len(self._data) % 4)
        self.gltf.bufferViews.append(
            BufferView(buffer=0, byteOffset=len(self._data), byteLength=len(data), target=target)
        )
        self._data += data
        return len(self.gltf.bufferViews) - 1

    def accessor(
        self, values: Shaped[np.ndarray, "n *c"], target: int | None = None, bounds: bool = False
    ) -> int:
        """An accessor of floats, or of triangles' corners; its number."""
        from pygltflib import Accessor

        if indices := target == _INDICES:
            values = values.reshape(-1).astype("<u2")
        else:
            values = np.ascontiguousarray(values, "<f4")
        table = values.reshape(len(values), -1)
        self.gltf.accessors.append(
            Accessor(
                bufferView=self.view(values.tobytes(), target),
                byteOffset=0,
                componentType=UNSIGNED_SHORT if indices else FLOAT,
                count=len(values),
                type=_KINDS[table.shape[1]],
                min=table.min(0).tolist() if bounds else None,
                max=table.max(0).tolist() if bounds else None,
            )
        )
        return len(self.gltf.accessors) - 1

    def sparse(
        self, values: Float[np.ndarray, "n 3"], moved: Bool[np.ndarray, "n"], bounds: bool = False
    ) -> int:
        """An accessor of floats that are 0 but where `moved`; its number."""
        from pygltflib import Accessor, AccessorSparseIndices, AccessorSparseValues, Sparse

        count, values = int(moved.sum()), np.ascontiguousarray(values * moved[:, None], "<f4")
        if count > len(values) / 2:
            return self.accessor(values, _VERTICES, bounds)
        found = Accessor(
            byteOffset=None,  # pygltflib's 0 is an error where there is no view
            componentType=FLOAT,
            count=len(values),
            type=_KINDS[3],
            min=values.min(0).tolist() if bounds else None,
            max=values.max(0).tolist() if bounds else None,
        )
        if count:
            where = np.flatnonzero(moved).astype("<u2")
            found.sparse = Sparse(
                count=count,
                indices=AccessorSparseIndices(
                    bufferView=self.view(where.tobytes()),
                    byteOffset=0,
                    componentType=UNSIGNED_SHORT,
                ),
                values=AccessorSparseValues(
                    bufferView=self.view(values[moved].tobytes()), byteOffset=0
                ),
            )
        self.gltf.accessors.append(found)
        return len(self.gltf.accessors) - 1

    def to_bytes(self) -> bytes:
        """The whole file."""
        from pygltflib import Buffer

        self._data += b"\0" * (-len(self._data) % 4)
        self.gltf.buffers = [Buffer(byteLength=len(self._data))]
        self.gltf.set_binary_blob(bytes(self._data))
        return b"".join(self.gltf.save_to_bytes())


def _add_head(parts: _Parts, head: HeadMesh) -> None:
    """Scene, nodes, meshes and materials."""
    from pygltflib import Mesh, Node, Scene

    gltf = parts.gltf
    _add_materials(parts, head)
    primitives = [_morphed(parts, part, k) for k, part in enumerate(head.parts.values())]
    primitives[_SKIN].attributes.TEXCOORD_0 = parts.accessor(head.uv, _VERTICES)
    names = {"targetNames": list(EXPRESSION_NAMES)}
    rest = [0.0] * len(EXPRESSION_NAMES)
    gltf.meshes = [Mesh(name="Head", primitives=primitives, weights=rest, extras=names)]
    gltf.nodes = [Node(name="Head", mesh=0, children=[1 + k for k in range(len(EYES))])]
    for eye in EYES:
        ball = head.eyes[eye]
        gltf.meshes.append(Mesh(name=f"{eye}Eye", primitives=_ball(parts, ball)))
        place = (ball.centre * INTEROCULAR_M).tolist()
        gltf.nodes.append(Node(name=f"{eye}Eye", mesh=len(gltf.meshes) - 1, translation=place))
    gltf.scenes = [Scene(nodes=[0])]
    gltf.scene = 0


def _add_materials(parts: _Parts, head: HeadMesh) -> None:
    from pygltflib import Material, PbrMetallicRoughness, TextureInfo

    for name, colour, roughness in _MATERIALS:
        colour = head.iris_colour if name == "Iris" else colour
        look = PbrMetallicRoughness(
            baseColorFactor=[*colour, 1.0], metallicFactor=0.0, roughnessFactor=roughness
        )
        parts.gltf.materials.append(
            Material(
                name=name,
                pbrMetallicRoughness=look,
                # Skin ends at the collar: from below it would be seen through.
                doubleSided=True,
                alphaMode="OPAQUE",
                alphaCutoff=None,
            )
        )
    if head.texture is not None:
        _add_texture(parts, head.texture)
        look = parts.gltf.materials[_SKIN].pbrMetallicRoughness
        assert look is not None
        look.baseColorFactor = [1.0, 1.0, 1.0, 1.0]
        look.baseColorTexture = TextureInfo(index=0)


def _add_texture(parts: _Parts, picture: Shaped[np.ndarray, "H W 3"]) -> None:
    import io

    from PIL import Image as Pillow
    from pygltflib import Image, Sampler, Texture

    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, "JPEG", quality=_JPEG_QUALITY)
    gltf = parts.gltf
    view = parts.view(file.getvalue())
    gltf.images = [Image(name="Portrait", bufferView=view, mimeType="image/jpeg")]
    linear, mipmapped, around, clamped = 9729, 9987, 10497, 33071
    gltf.samplers = [Sampler(magFilter=linear, minFilter=mipmapped, wrapS=around, wrapT=clamped)]
    gltf.textures = [Texture(sampler=0, source=0)]


def _morphed(parts: _Parts, surface: Surface, material: int) -> "Primitive":
    """A primitive with its morph targets."""
    from pygltflib import Attributes, Primitive

    targets = []
    for move, turn in zip(surface.targets, surface.target_normals(), strict=True):
        moved = (np.abs(move).max(1) > _STILL) | (np.abs(turn).max(1) > 1e-3)
        targets.append(
            Attributes(
                POSITION=parts.sparse(move * INTEROCULAR_M, moved, bounds=True),
                NORMAL=parts.sparse(turn, moved),
            )
        )
    return Primitive(
        attributes=Attributes(
            POSITION=parts.accessor(surface.points * INTEROCULAR_M, _VERTICES, bounds=True),
            NORMAL=parts.accessor(surface.rest_normals(), _VERTICES),
        ),
        indices=parts.accessor(surface.triangles, _INDICES),
        material=material,
        targets=targets,
    )


def _ball(parts: _Parts, ball: Eyeball) -> "list[Primitive]":
    from pygltflib import Attributes, Primitive

    points = parts.accessor(ball.points * INTEROCULAR_M, _VERTICES, bounds=True)
    normals = ball.points / np.linalg.norm(ball.points, axis=1, keepdims=True)
    attributes = Attributes(POSITION=points, NORMAL=parts.accessor(normals, _VERTICES))
    return [
        Primitive(attributes=attributes, indices=parts.accessor(part, _INDICES), material=material)
        for part, material in ((ball.white, _WHITE), (ball.iris, _IRIS), (ball.pupil, _PUPIL))
    ]


def _add_animation(parts: _Parts, motion: Motion) -> None:
    from pygltflib import Animation, AnimationChannel, AnimationChannelTarget, AnimationSampler

    times = parts.accessor(np.arange(len(motion)) / motion.fps, bounds=True)
    animation = Animation(name="Motion", extras={"fps": motion.fps})
    curves: Sequence[tuple[int, str, np.ndarray]] = (
        (0, "weights", motion.expression.reshape(-1)),
        (0, "rotation", quaternions(motion.rotation)),
        (0, "translation", motion.translation * INTEROCULAR_M),
        *(
            (1 + k, "rotation", quaternions(head_rotation(np.pad(turn, ((0, 0), (0, 1))))))
            for k, turn in enumerate(eye_angles(motion, eye) for eye in EYES)
        ),
    )
    for node, path, values in curves:
        animation.samplers.append(
            AnimationSampler(input=times, output=parts.accessor(values), interpolation="LINEAR")
        )
        animation.channels.append(
            AnimationChannel(
                sampler=len(animation.samplers) - 1,
                target=AnimationChannelTarget(node=node, path=path),
            )
        )
    parts.gltf.animations = [animation]


def quaternions(rotation: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 4"]:
    """Axis-angle (radians) to unit quaternions (x, y, z, w), each the nearer one to the last."""
    from scipy.spatial.transform import Rotation

    out = Rotation.from_rotvec(rotation).as_quat()
    falls = np.sum(out[1:] * out[:-1], axis=1) < 0
    out[1:][np.cumsum(falls) % 2 == 1] *= -1
    return out
