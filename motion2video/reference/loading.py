"""A family's renderer from the files on this machine."""

import os
from collections.abc import Callable, Mapping
from functools import partial

import torch

from motion2video.geometry.basis import FaceBasis
from motion2video.network.compute import ComputeConfig
from motion2video.reference.conversion import Tensors, convert, joined
from motion2video.reference.families import Family, Part
from motion2video.reference.memory import require_room
from motion2video.reference.networks import fill_networks
from motion2video.reference.reading import read_tensors
from motion2video.reference.renderer import ReferenceRenderer, dtype_of, used_devices
from motion2video.reference.settings import ReferenceConfig
from motion2video.reference.store import Found, require_all

Notify = Callable[[str], None]


def load_renderer(
    family: Family,
    config: ReferenceConfig,
    compute: ComputeConfig,
    weights_dir: str | os.PathLike[str] | None = None,
    notify: Notify = lambda _: None,
) -> ReferenceRenderer:
    """Raises WeightsError for files that are not here or do not fit, InputError for settings that
    cannot be used or need more memory than a GPU has, DependencyError for a device.
    """
    config.sampling(family)  # before gigabytes are read
    found, dtype = require_all(family, weights_dir), dtype_of(compute)
    devices = used_devices(config, compute)
    if devices[0].type == "cuda":
        free = [torch.cuda.mem_get_info(device)[0] for device in devices]
        require_room(family, config, dtype.itemsize, *free)
    else:
        notify(f"{family.title} draws on the CPU, where a second of video takes hours")
    parts: dict[str, Callable[[], Tensors]] = {
        part: partial(_read, family, found, part) for part in found if part != "motion_module"
    }
    networks = fill_networks(
        family.shapes, parts, compute.attention, config.rows, dtype, config.batch_norm
    )
    return ReferenceRenderer(family, config, compute, FaceBasis.load(), networks, notify)


def _read(family: Family, found: Mapping[Part, Found], part: Part) -> Tensors:
    """A part under the names of the network; the denoising U-Net with its motion modules."""
    tensors = _converted(family, found[part], part)
    if part != "denoising_unet":
        return tensors
    motion = found.get("motion_module")
    if any(".motion_modules." in name for name in tensors) or motion is None:
        return joined(None, tensors, family.shapes)
    return joined(_converted(family, motion, "motion_module"), tensors, family.shapes)


def _converted(family: Family, found: Found, part: Part) -> Tensors:
    tensors = read_tensors(found.path)
    return tensors if found.converted else convert(part, tensors, family.shapes)
