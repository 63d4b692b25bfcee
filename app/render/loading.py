"""How an Avatar is loaded: what Avatar.load takes, and what there is to say of it."""

from dataclasses import dataclass, fields
from typing import Annotated

from app.render.knobs import Knob
from motion2video.network.choices import MAX_THREADS, AttentionKind, Backend, Precision
from motion2video.network.compute import ComputeConfig


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """What Avatar.load takes, and checks; what is of the networks is ComputeConfig's."""

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
    device: Annotated[str, Knob("auto, cpu or cuda.")] = ComputeConfig.device
    backend: Annotated[
        Backend, Knob("What runs the renderer's networks; auto fits the device.")
    ] = ComputeConfig.backend
    precision: Annotated[
        Precision, Knob("Number format of those networks; auto: int8 on a CPU, else fp16.")
    ] = ComputeConfig.precision
    threads: Annotated[
        int | None, Knob("Frames worked on at a time:", 1, MAX_THREADS, unset="one a core")
    ] = ComputeConfig.threads
    attention: Annotated[AttentionKind, Knob("Attention kernels; xformers is an extra.")] = (
        ComputeConfig.attention
    )
    compile: Annotated[
        bool, Knob("Hand the networks to torch.compile, which pays on long jobs only.")
    ] = ComputeConfig.compile

    @property
    def compute(self) -> ComputeConfig:
        """How the renderer's networks run; raises InputError, DependencyError."""
        return ComputeConfig(**{f.name: getattr(self, f.name) for f in fields(ComputeConfig)})
