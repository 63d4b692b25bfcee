"""Where networks are while others work: accelerate's offloading, for cards with little memory."""

from dataclasses import dataclass, field
from typing import Any

import torch

from motion2video.reference.networks import Networks
from motion2video.reference.settings import Offload


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
    if device.type == "cuda":
        for network in (networks.denoising, networks.reference, networks.autoencoder):
            network.to(memory_format=torch.channels_last)  # pyrefly: ignore[missing-argument, no-matching-overload]
    return Placement()
