"""How an Avatar is loaded: what Avatar.load takes, and what there is to say of it."""

from dataclasses import dataclass
from typing import Annotated

from app.render.knobs import Knob
from motion2video.network.choices import MAX_THREADS, AttentionKind, Backend, Precision


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """The arguments of Avatar.load, which checks them."""

    steps: Annotated[int | None, Knob("Diffusion steps of the renderer.", unset="its own")] = None
    detector: Annotated[
        str, Knob("mediapipe, or insightface (its model packs are for non-commercial use only).")
    ] = "mediapipe"
    speech_encoder: Annotated[
        str | None,
        Knob(
            "Hear the voices through a model in a folder of yours: whisper:FOLDER, hubert:FOLDER "
            "or wav2vec2:FOLDER, as transformers saves them (extra `speech`).",
            unset="the embedded one",
        ),
    ] = None
    device: Annotated[str, Knob("auto, cpu or cuda.")] = "auto"
    backend: Annotated[
        Backend, Knob("What runs the renderer's networks; auto fits the device.")
    ] = "auto"
    precision: Annotated[
        Precision, Knob("Number format of those networks; auto: int8 on a CPU, else fp16.")
    ] = "auto"
    threads: Annotated[
        int | None, Knob("Frames worked on at a time:", 1, MAX_THREADS, unset="one a core")
    ] = None
    attention: Annotated[AttentionKind, Knob("Attention kernels; xformers is an extra.")] = "sdpa"
