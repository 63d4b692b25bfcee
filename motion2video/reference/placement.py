"""Where networks are, by accelerate: on a device, off it while others work, or on several."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from motion2video.reference.networks import Networks
from motion2video.reference.settings import Offload
from motion2video.reference.unets import DenoisingUNet


@dataclass(frozen=True)
class Placement:
    """Name of a network to what takes it off the device; empty where all of them stay."""

    hooks: dict[str, Any] = field(default_factory=dict)

    def only(self, *names: str) -> None:
        """Make room for these: accelerate brings each one when it is called."""
        for name, hook in self.hooks.items():
            if name not in names:
                hook.offload()


def place(networks: Networks, device: torch.device, offload: Offload) -> Placement:
    """Put all networks on a device, or let accelerate bring each one (`model`) or each layer
    (`sequential`) when it is used.
    """
    from accelerate import cpu_offload, cpu_offload_with_hook

    if offload == "sequential":
        for _, network in networks.all():
            cpu_offload(network, device)
        return Placement()
    if offload == "model":
        return Placement({n: cpu_offload_with_hook(net, device)[1] for n, net in networks.all()})
    for _, network in networks.all():
        network.to(device)
    for network in (networks.denoising, networks.reference, networks.autoencoder):
        _lay_out(network, device)
    return Placement()


def spread(network: DenoisingUNet, devices: Sequence[torch.device]) -> list[DenoisingUNet]:
    """Copies of a network that is not placed yet, one for each device; accelerate brings what a
    copy is called with to where it is, and its result back.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    copies = [copy.deepcopy(network) for _ in devices]
    for one, device in zip(copies, devices, strict=True):
        _lay_out(one.to(device), device)
        add_hook_to_module(one, AlignDevicesHook(device, io_same_device=True))
    return copies


def _lay_out(network: nn.Module, device: torch.device) -> None:
    """Channels last, which convolutions on a GPU like best."""
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
