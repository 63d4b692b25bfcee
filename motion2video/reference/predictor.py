"""The networks at work on one or several GPUs: as much at a time as fits, in numbers wide enough.

Out of memory: the same again, less of it at a time. Numbers that are none: the same again in a
wider format. Both are told, and stay so for the frames that follow.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from motion2video.network.choices import AttentionKind
from motion2video.reference.attention import Reference, Sight, set_attention
from motion2video.reference.networks import Networks, cast
from motion2video.reference.placement import place, spread
from motion2video.reference.settings import Offload
from motion2video.reference.unets import DenoisingUNet
from weights.errors import DependencyError, WeightsError

T = TypeVar("T")
Notify = Callable[[str], None]
Pose = list[Float[Tensor, "_n _c _h _w"]]
"""What a guider makes of frames: one tensor, or one more for each of the U-Net's levels."""
_WIDER = {torch.float16: torch.bfloat16, torch.bfloat16: torch.float32}


@dataclass(frozen=True)
class Economy:
    """How much is done at a time: `windows` (None: all of a group that a GPU has), both halves of
    guidance or one after the other, `rows` of attention (None: all).
    """

    windows: int | None = None
    halves_apart: bool = False
    rows: int | None = None

    def less(self) -> "Economy | None":
        """What needs less memory; None where nothing does."""
        if self.windows != 1:
            return replace(self, windows=1)
        if not self.halves_apart:
            return replace(self, halves_apart=True)
        if self.rows is None or self.rows > 1:
            return replace(self, rows=8 if self.rows is None else max(1, self.rows // 4))
        return None

    def __str__(self) -> str:
        told = ["one window at a time"]
        if self.halves_apart:
            told.append("the halves of guidance one after the other")
        if self.rows is not None:
            told.append(f"attention of {self.rows} frames at a time")
        return ", ".join(told)


@dataclass(frozen=True)
class Portrayed:
    """A portrait as the networks know it: what the reference U-Net saw, and CLIP's token."""

    sight: Sight
    token: Float[Tensor, "1 1 d"]


class Predictor:
    """One at a time uses it: what it changes, it changes for all. Raises what its networks raise,
    DependencyError when not even the least fits into memory, WeightsError for numbers that are none
    in fp32 too.
    """

    def __init__(
        self,
        networks: Networks,
        devices: Sequence[torch.device],
        dtype: torch.dtype,
        offload: Offload,
        economy: Economy,
        attention: AttentionKind,
        compiled: bool,
        notify: Notify,
    ) -> None:
        self.networks, self.devices, self.dtype = networks, tuple(devices), dtype
        self.economy = economy
        self._attention: AttentionKind = attention
        self._notify = notify
        self._offload: Offload = offload
        others = spread(networks.denoising, self.devices[1:])
        self._placement = place(networks, self.devices[0], offload)
        self._unets: list[DenoisingUNet] = [networks.denoising, *others]
        if compiled:
            for unet in self._unets:
                unet.compile()
        self._pool = ThreadPoolExecutor(len(self._unets), "visavis-gpu")

    # -- once a portrait, once a frame -----------------------------------------------------------

    @torch.inference_mode()
    def portray(
        self, picture: Float[Tensor, "1 3 h w"], small: Float[Tensor, "1 3 s s"]
    ) -> Portrayed:
        """A portrait, from -1 to 1, and `small` as CLIP wants it."""
        device = self.devices[0]

        def look() -> Portrayed:
            self._placement.only("autoencoder", "image_encoder", "reference")
            coder = self.networks.autoencoder
            latent = coder.encode(picture.to(device), return_dict=False)[0].mean
            latent = latent * coder.config["scaling_factor"]
            seen = self.networks.image_encoder(small.to(device, self.dtype)).image_embeds
            token = seen[:, None]
            return Portrayed(self.networks.reference(latent.to(self.dtype), token), token)

        return self._insist(look, lambda made: [made.token, *made.sight.tokens.values()])

    @torch.inference_mode()
    def guide(self, images: Float[Tensor, "f 3 h w"]) -> Pose:
        """Of the pose images of frames; kept where there is most room until they are used."""
        device = self.devices[0]
        kept = device if self._offload == "none" else torch.device("cpu")

        def run() -> Pose:
            self._placement.only("guider")
            return [x.to(kept) for x in self.networks.guider(images.to(device, self.dtype))]

        return self._insist(run, lambda made: made)

    # -- every step ------------------------------------------------------------------------------

    @torch.inference_mode()
    def predict(
        self,
        latents: Float[Tensor, "f c h w"],
        t: int,
        windows: Sequence[slice],
        pose: Pose,
        portrayed: Portrayed,
        guidance: float,
    ) -> list[Float[Tensor, "_n c h w"]]:
        """A prediction of each window, in fp32 on the CPU; guided where `guidance` is above 1."""
        shares = [windows[i :: len(self._unets)] for i in range(len(self._unets))]

        def run_all() -> list[Tensor]:
            self._placement.only("denoising")
            jobs = [
                self._pool.submit(
                    self._predict, unet, device, latents, t, share, pose, portrayed, guidance
                )
                for unet, device, share in zip(self._unets, self.devices, shares, strict=True)
                if share
            ]
            wait(jobs)  # all of them, before anything is changed for another try
            done = [job.result() for job in jobs]
            return [done[i % len(done)][i // len(done)] for i in range(len(windows))]

        return self._insist(run_all, lambda made: made)

    @torch.inference_mode()
    def _predict(
        self,
        unet: DenoisingUNet,
        device: torch.device,
        latents: Tensor,
        t: int,
        windows: Sequence[slice],
        pose: Pose,
        portrayed: Portrayed,
        guidance: float,
    ) -> list[Tensor]:
        """One GPU's share: windows of one length together, as many as are done at a time."""
        found: list[Tensor] = []
        todo = list(windows)
        while todo:
            alike = [w for w in todo if _length(w) == _length(todo[0])][: self.economy.windows]
            todo = todo[len(alike) :]
            sample = torch.stack([latents[w] for w in alike]).transpose(1, 2)
            felt = [torch.cat([level[w] for w in alike]).to(device, self.dtype) for level in pose]
            run = _Run(unet, sample.to(device, self.dtype), t, felt, portrayed)
            if guidance <= 1:
                made = run([True])
            elif self.economy.halves_apart:
                made = _guided(run([False]), run([True]), guidance)
            else:
                without, condition = run([False, True]).chunk(2)
                made = _guided(without, condition, guidance)
            found += [one.float().cpu() for one in made.transpose(1, 2)]
        return found

    # -- at the end ------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "f c _h _w"], tiny: bool) -> UInt8[Tensor, "f h w 3"]:
        """Pictures, one at a time. Raises DependencyError where the tiny autoencoder is not
        there.
        """
        coder: Any = self.networks.tiny if tiny else self.networks.autoencoder
        if coder is None:
            raise DependencyError(
                "a preview needs the tiny autoencoder, whose weights are not here"
            )
        self._placement.only("tiny" if tiny else "autoencoder")
        scale = self.networks.autoencoder.config["scaling_factor"]

        def picture(latent: Tensor) -> Tensor:
            one = latent[None].to(self.devices[0])
            given = one.to(self.dtype) if tiny else one / scale
            return coder.decode(given, return_dict=False)[0]

        pictures = []
        for latent in latents:
            made = self._insist(partial(picture, latent), lambda found: [found])
            pixels = ((made.float().clamp(-1, 1) + 1) * 127.5).round().byte()
            pictures.append(rearrange(pixels, "1 c h w -> h w c").cpu())
        return torch.stack(pictures)

    # -- what goes wrong -------------------------------------------------------------------------

    def _insist(self, work: Callable[[], T], numbers: Callable[[T], Sequence[Tensor]]) -> T:
        """Do it, with less at a time or in wider numbers where that helps."""
        while True:
            try:
                made = work()
            except torch.OutOfMemoryError as error:
                self._save(error)
                continue
            if all(bool(torch.isfinite(x).all()) for x in numbers(made)):
                return made
            self.widen("were not numbers")

    def _save(self, error: torch.OutOfMemoryError) -> None:
        less = self.economy.less()
        if less is None:
            raise DependencyError(
                "the device's memory is too small even for the least at a time: give a smaller "
                "--window or --resolution, or --offload sequential"
            ) from error
        self.economy = less
        self.networks.autoencoder.enable_tiling()
        for unet in (*self._unets, self.networks.reference):
            set_attention(unet.network, self._attention, less.rows)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._notify(f"the device's memory was full; now {less}")

    def widen(self, wrong: str) -> None:
        """Compute in wider numbers from now on, as the results of these were `wrong`. Raises
        WeightsError where there are none.
        """
        wider, name = _WIDER.get(self.dtype), str(self.dtype).removeprefix("torch.")
        if wider is None:
            raise WeightsError(
                f"the networks' results {wrong}, not even in fp32: are the weights damaged?"
            )
        if self._offload == "sequential":
            raise WeightsError(
                f"results in {name} {wrong}; give a wider --precision, as layers that wait in the "
                "computer's memory cannot be changed now"
            )
        self._notify(f"results in {name} {wrong}; now {str(wider).removeprefix('torch.')}")
        self.dtype = wider
        frozen: list[nn.Module | None] = [self.networks.reference, self.networks.guider]
        for network in (*frozen, self.networks.image_encoder, self.networks.tiny, *self._unets):
            if network is not None:
                cast(network, wider)


@dataclass(frozen=True)
class _Run:
    """Windows of one length at a step, with and without the condition."""

    unet: DenoisingUNet
    sample: Float[Tensor, "b c f h w"]
    t: int
    pose: Pose
    portrayed: Portrayed

    def __call__(self, conditions: Sequence[bool]) -> Tensor:
        """A prediction for each condition, behind each other. Without it CLIP's token is 0, nobody
        is looked at, and the pose is the same.
        """
        count, _, frames, *_ = self.sample.shape
        device, dtype = self.sample.device, self.sample.dtype
        token = self.portrayed.token.to(device, dtype).expand(count, -1, -1)
        tokens = torch.cat(
            [token if condition else torch.zeros_like(token) for condition in conditions]
        )
        sight = self.portrayed.sight.at(device, dtype)
        return self.unet(
            torch.cat([self.sample] * len(conditions)),
            torch.tensor(self.t, device=device),
            tokens,
            [torch.cat([level] * len(conditions)) for level in self.pose],
            Reference(sight, sum(conditions) * count * frames),
        )


def _guided(without: Tensor, condition: Tensor, guidance: float) -> Tensor:
    return without + guidance * (condition - without)


def _length(window: slice) -> int:
    return window.stop - window.start
