"""How an Avatar is loaded: what Avatar.load takes, and what there is to say of it."""

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from app.provenance.origin import Provenance
from app.render.knobs import Knob
from app.render.request import RendererName
from motion2video.network.choices import MAX_THREADS, AttentionKind, Backend, Precision
from motion2video.network.compute import ComputeConfig, pick_device
from motion2video.reference.families import FAMILIES, BatchNorm
from motion2video.reference.requirements import missing_packages
from motion2video.reference.settings import Offload, ReferenceConfig, Scheduler
from motion2video.reference.store import require_all
from weights.errors import InputError, WeightsError


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

    weights_dir: Annotated[
        str | os.PathLike[str] | None,
        Knob(
            "Folder with the files of a public checkpoint, such as ComfyUI's models.",
            unset="VISAVIS_WEIGHTS_DIR, and what was fetched",
        ),
    ] = None
    guidance: Annotated[
        float | None, Knob("Guidance of a public checkpoint; 1 is none:", 1, 30, unset="its own")
    ] = ReferenceConfig.guidance
    guidance_interval: Annotated[
        str, Knob("Share of the steps that are guided, from 0,1 (all); fewer are faster.")
    ] = "0,1"
    scheduler: Annotated[
        Scheduler,
        Knob(
            "Of a public checkpoint: ddim, dpm (half the steps, a little less detail) or lcm (8, "
            "for weights distilled for it)."
        ),
    ] = ReferenceConfig.scheduler
    window: Annotated[
        int | None, Knob("Frames that it draws together:", 1, 32, unset="its own")
    ] = ReferenceConfig.window
    overlap: Annotated[
        int | None, Knob("Frames of a window that the next draws too:", 0, 16, unset="its own")
    ] = ReferenceConfig.overlap
    together: Annotated[
        int, Knob("Windows that advance together, spread over all GPUs:", 1, 64)
    ] = ReferenceConfig.together
    resolution: Annotated[
        int, Knob("Longer side at which it draws, a multiple of 64:", 64, 1024, "pixels")
    ] = ReferenceConfig.size
    preview: Annotated[
        bool, Knob("A rough video soon: a third of its steps and a tiny decoder.")
    ] = ReferenceConfig.preview
    batch_norm: Annotated[
        BatchNorm, Knob("Of AniPortrait's pose guider, see docs/checkpoints.md: eval or window.")
    ] = ReferenceConfig.batch_norm
    offload: Annotated[
        Offload,
        Knob("For GPUs of little memory: what waits outside: none, model or (slow) sequential."),
    ] = ReferenceConfig.offload
    slicing: Annotated[bool, Knob("Attention of a few frames at a time: less memory, slower.")] = (
        ReferenceConfig.slicing
    )
    provenance: Annotated[
        bool,
        Knob("Mark every frame and sign the file, so that it can be told where a video is from."),
    ] = True
    provenance_dir: Annotated[
        str | os.PathLike[str] | None,
        Knob("Folder of the signing key and of the log of what was made.", unset="of this user"),
    ] = None
    signing_certificate: Annotated[
        str | os.PathLike[str] | None,
        Knob("Chain of certificates (PEM) to sign with.", unset="one made at first use"),
    ] = None
    signing_key: Annotated[
        str | os.PathLike[str] | None,
        Knob("Its private key (PEM, without a password).", unset="that of the one made here"),
    ] = None
    watermark_key: Annotated[
        str | os.PathLike[str] | None,
        Knob("File with a key of your own for the watermark.", unset="the public one"),
    ] = None

    @property
    def origins(self) -> Provenance:
        """How videos say where they come from. Raises InputError."""
        paths = (
            None if given is None else Path(given)
            for given in (
                self.provenance_dir,
                self.signing_certificate,
                self.signing_key,
                self.watermark_key,
            )
        )
        made = Provenance(self.provenance, *paths)
        _ = made.key  # now, not at the first frame
        return made

    @property
    def reference(self) -> ReferenceConfig:
        """How a public checkpoint draws. Raises InputError."""
        try:
            first, last = map(float, self.guidance_interval.split(","))
        except ValueError as error:
            raise InputError(
                f"got the guidance interval {self.guidance_interval!r}; wanted two numbers: 0,0.7"
            ) from error
        return ReferenceConfig(
            steps=self.steps,
            guidance=self.guidance,
            guidance_interval=(first, last),
            scheduler=self.scheduler,
            window=self.window,
            overlap=self.overlap,
            together=self.together,
            size=self.resolution,
            preview=self.preview,
            batch_norm=self.batch_norm,
            offload=self.offload,
            slicing=self.slicing,
        )

    @property
    def compute(self) -> ComputeConfig:
        """How the renderer's networks run; raises InputError, DependencyError."""
        return ComputeConfig(**{f.name: getattr(self, f.name) for f in fields(ComputeConfig)})


PROVENANCE = (
    *("provenance", "provenance_dir", "signing_certificate", "signing_key"),
    "watermark_key",
)
"""The settings that `origins` is made of."""


def offered(loading: LoadSettings) -> tuple[RendererName, ...]:
    """What can draw here: public checkpoints need a GPU, their weights and the extra `reference`.

    Raises InputError for a folder of weights that is not there.
    """
    names: list[RendererName] = ["embedded"]
    if missing_packages() or pick_device(loading.device).type == "cpu":
        return tuple(names)
    for family in FAMILIES.values():
        with suppress(WeightsError):
            require_all(family, loading.weights_dir)
            names.append(family.name)
    return tuple(names)
