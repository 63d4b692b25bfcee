"""Files are found where people keep them, and what is missing is said with the command that
helps.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from motion2video.network.compute import ComputeConfig
from motion2video.reference.conversion import Tensors, convert
from motion2video.reference.families import Part
from motion2video.reference.keys import all_keys
from motion2video.reference.loading import load_renderer
from motion2video.reference.reading import read_tensors, shapes_in
from motion2video.reference.settings import ReferenceConfig
from motion2video.reference.store import family_of, in_folder, require_all
from tests.motion2video.reference import tiny
from weights.errors import InputError, WeightsError

CPU = ComputeConfig(device="cpu")


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VISAVIS_WEIGHTS_DIR", raising=False)


def published(name: str, part: Part) -> Tensors:
    return tiny.file_of(all_keys(tiny.SHAPES[name])[part])


def comfy(folder: Path, *names: str) -> Path:
    """A folder as a user of ComfyUI has it: several families, and what they share."""
    for name in names:
        own = folder / "custom" / name
        own.mkdir(parents=True)
        for part in ("denoising_unet", "reference_unet", "motion_module", "pose_guider"):
            torch.save(published(name, part), own / f"{part}.pth")
    (folder / "vae").mkdir()
    save_file(
        published("aniportrait", "vae"), folder / "vae/vae-ft-mse-840000-ema-pruned.safetensors"
    )
    (folder / "clip/image_encoder").mkdir(parents=True)
    torch.save(
        published("aniportrait", "image_encoder"), folder / "clip/image_encoder/pytorch_model.bin"
    )
    (folder / "vae_approx").mkdir()
    save_file(published("aniportrait", "taesd"), folder / "vae_approx/taesd_decoder.safetensors")
    return folder


def test_without_files_the_command_that_fetches_them_is_said() -> None:
    with pytest.raises(WeightsError, match="visavis weights fetch aniportrait") as raised:
        require_all(tiny.FAMILIES["aniportrait"])
    assert "denoising_unet" in str(raised.value) and "--weights-dir" in str(raised.value)
    assert "taesd" not in str(raised.value), "only previews need it"


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="aniportrait or animate-anyone"):
        family_of("sora")


def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(InputError, match="there is no folder"):
        require_all(tiny.FAMILIES["aniportrait"], "/nowhere")


def test_families_whose_files_have_one_name_are_told_apart(tmp_path: Path) -> None:
    folder = comfy(tmp_path / "models", "animate-anyone", "aniportrait")
    for name, family in tiny.FAMILIES.items():
        found = in_folder(family, folder)
        assert found.keys() == family.sources.keys()
        assert found["denoising_unet"].parent.name == name


def test_what_families_share_is_found_as_nodes_of_comfyui_have_it_put(tmp_path: Path) -> None:
    """`models/vae` and `models/clip_vision`, with the names that the hub gives."""
    folder = comfy(tmp_path / "models", "aniportrait")
    (folder / "clip/image_encoder").rename(folder / "clip_vision")
    (folder / "vae/vae-ft-mse-840000-ema-pruned.safetensors").rename(
        folder / "vae/diffusion_pytorch_model.safetensors"
    )
    found = in_folder(tiny.FAMILIES["aniportrait"], folder)
    assert found["image_encoder"] == folder / "clip_vision/pytorch_model.bin"
    assert found["vae"] == folder / "vae/diffusion_pytorch_model.safetensors"


def test_a_renderer_is_loaded_from_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = comfy(tmp_path / "models", "aniportrait")
    monkeypatch.setenv("VISAVIS_WEIGHTS_DIR", str(folder))
    family, told = tiny.FAMILIES["aniportrait"], list[str]()
    renderer = load_renderer(family, ReferenceConfig(size=64), CPU, notify=told.append)
    held = renderer._predictor.networks.denoising.network.state_dict()
    wanted = convert("denoising_unet", published("aniportrait", "denoising_unet"), family.shapes)
    assert all(torch.equal(held[name], tensor) for name, tensor in wanted.items())
    assert "CPU" in told[0]


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = comfy(tmp_path / "models", "aniportrait")
    own = folder / "custom/aniportrait"
    torch.save(published("aniportrait", "reference_unet"), own / "denoising_unet.pth")
    with pytest.raises(WeightsError, match="not the denoising unet"):
        load_renderer(tiny.FAMILIES["aniportrait"], ReferenceConfig(size=64), CPU, folder)


def test_of_a_pickle_nothing_but_tensors_is_made(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"conv_in.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot read"):
        read_tensors(tmp_path / "evil.pth")
    assert not (tmp_path / "harm").exists()
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "wrapped.pth")
    assert shapes_in(tmp_path / "wrapped.pth") == {"a": (2,)}
    torch.save({"a": 3}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        read_tensors(tmp_path / "other.pth")


def test_an_old_pickle_is_read_too(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "a.pth")["a"], torch.ones(2))
