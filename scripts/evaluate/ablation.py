"""Leaving out a part of how a portrait is drawn, to see what it brings."""

import copy
import dataclasses
from typing import Literal, get_args

import numpy as np

from motion2video.drawing.crops import CropStage
from motion2video.drawing.layered import LayeredWarp
from motion2video.renderer import RenderState

Part = Literal["folds", "creases", "light", "mouth"]
PARTS: tuple[Part, ...] = get_args(Part)


def without(state: RenderState, parts: list[Part]) -> RenderState:
    """The same portrait without folds, without its own creases going, without light on a head that
    turns, without anything drawn behind the lips. It is drawn in layers, on the CPU.
    """
    prepared = state.prepared
    stage, inside = prepared.stage, prepared.inside
    assert isinstance(stage, CropStage) and isinstance(stage.warp, LayeredWarp)
    shading = stage.warp.shading
    if "folds" in parts:
        shading = dataclasses.replace(shading, maps=np.zeros_like(shading.maps))
    if "creases" in parts:
        shading = dataclasses.replace(shading, creases=())
    if "light" in parts:
        shading = dataclasses.replace(shading, whole=np.zeros_like(shading.whole))
    if "mouth" in parts:
        bare = (
            dataclasses.replace(strip, texture=np.zeros_like(strip.texture))
            for strip in inside.mouth.strips
        )
        mouth = dataclasses.replace(inside.mouth, strips=tuple(bare))
        inside = dataclasses.replace(inside, mouth=mouth, seen=None, lips=None)
    warp = copy.copy(stage.warp)  # the portrait's own is everybody's
    warp.shading = shading
    left = CropStage(warp, inside, prepared.brush)
    return dataclasses.replace(
        state, prepared=dataclasses.replace(prepared, inside=inside, stage=left)
    )
