"""Published files become the networks here, with no tensor missing, left over or changed."""

import math
from operator import attrgetter

import pytest
import torch

from motion2video.reference.conversion import convert, joined
from motion2video.reference.families import ANIMATE_ANYONE, ANIPORTRAIT, FAMILIES, Part
from motion2video.reference.keys import all_keys, autoencoder_keys
from motion2video.reference.networks import make_networks
from tests.motion2video.reference import tiny
from weights.errors import WeightsError

PARTS: dict[Part, str] = {
    "denoising_unet": "denoising.network",
    "reference_unet": "reference.network",
    "pose_guider": "guider",
    "vae": "autoencoder",
    "image_encoder": "image_encoder",
    "taesd": "tiny",
}


def test_the_files_have_as_many_tensors_and_parameters_as_is_documented() -> None:
    keys = all_keys(ANIPORTRAIT.shapes)
    counts = {part: len(found) for part, found in keys.items()}
    assert counts["denoising_unet"] == 1274
    assert counts["reference_unet"] == 682
    assert counts["motion_module"] == 588
    assert counts["pose_guider"] == 184
    numbers = {
        part: sum(math.prod(s) for n, s in found.items() if not n.endswith(".pe"))
        for part, found in keys.items()
    }
    assert round(numbers["denoising_unet"] / 1e6, 2) == 1312.73
    assert round(numbers["reference_unet"] / 1e6, 2) == 859.51
    assert round(numbers["motion_module"] / 1e6, 2) == 453.21
    assert round(numbers["pose_guider"] / 1e6, 1) == 167.5
    small = all_keys(ANIMATE_ANYONE.shapes)["pose_guider"]
    assert sum(map(math.prod, small.values())) == 1_086_480


@pytest.mark.parametrize("name", FAMILIES)
def test_at_full_size_every_published_tensor_has_its_place_in_the_network(name: str) -> None:
    shapes = FAMILIES[name].shapes
    keys = all_keys(shapes)
    with torch.device("meta"):
        networks = make_networks(shapes)
    for part, attribute in PARTS.items():
        codes = tiny.file_of({n: s for n, s in keys[part].items() if n.endswith(".pe")})
        others = {n: torch.empty(s, device="meta") for n, s in keys[part].items()}
        found = convert(part, others | codes, shapes)
        wanted = attrgetter(attribute)(networks).state_dict()
        assert {n: t.shape for n, t in found.items()} == {
            n: t.shape for n, t in wanted.items() if not n.endswith("pos_embed.pe")
        }


@pytest.mark.parametrize("name", tiny.SHAPES)
@pytest.mark.parametrize("part", PARTS)
def test_a_converted_file_fills_its_network(name: str, part: Part) -> None:
    shapes = tiny.SHAPES[name]
    network = attrgetter(PARTS[part])(make_networks(shapes))
    published = tiny.file_of(all_keys(shapes)[part])
    converted = convert(part, published, shapes)
    computed = {n: t for n, t in network.state_dict().items() if n.endswith("pos_embed.pe")}
    network.load_state_dict(converted | computed, strict=True)
    assert sum(t.numel() for t in converted.values()) == sum(
        t.numel() for n, t in published.items() if not n.endswith(".pe")
    )


def test_the_code_of_places_is_what_the_network_computes() -> None:
    network = make_networks(tiny.MULTI_SCALE).denoising.network.state_dict()
    published = tiny.file_of(all_keys(tiny.MULTI_SCALE)["motion_module"])
    place = "down_blocks.0.motion_modules.0"
    ours = network[f"{place}.transformer_blocks.0.pos_embed.pe"]
    theirs = published[
        f"{place}.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
    ]
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_another_code_of_places_is_refused() -> None:
    published = tiny.file_of(all_keys(tiny.MULTI_SCALE)["motion_module"])
    name = next(n for n in published if n.endswith(".pe"))
    published[name] = published[name].flip(1)
    with pytest.raises(WeightsError, match="another way"):
        convert("motion_module", published, tiny.MULTI_SCALE)


def test_a_tensor_that_is_missing_left_over_or_of_another_shape_is_named() -> None:
    shapes = tiny.MULTI_SCALE
    good = tiny.file_of(all_keys(shapes)["reference_unet"])
    first = "conv_in.weight"
    with pytest.raises(WeightsError, match=r"1 missing \(conv_in.weight\)"):
        convert("reference_unet", {n: t for n, t in good.items() if n != first}, shapes)
    with pytest.raises(WeightsError, match=r"1 left over \(conv_out.weight\)"):
        convert("reference_unet", good | {"conv_out.weight": torch.zeros(1)}, shapes)
    with pytest.raises(WeightsError, match=r"1 of another shape \(conv_in.weight\)"):
        convert("reference_unet", good | {first: torch.zeros(1)}, shapes)


def test_motion_modules_come_from_their_own_file_where_the_network_has_none() -> None:
    shapes = tiny.MULTI_SCALE
    keys = all_keys(shapes)
    whole = convert("denoising_unet", tiny.file_of(keys["denoising_unet"]), shapes)
    motion = convert("motion_module", tiny.file_of(keys["motion_module"], 1), shapes)
    bare = {n: t for n, t in tiny.file_of(keys["denoising_unet"]).items() if "motion" not in n}
    converted = convert("denoising_unet", bare, shapes)
    assert joined(motion, whole, shapes) == whole
    assert joined(motion, converted, shapes).keys() == whole.keys()
    with pytest.raises(WeightsError, match=r"motion_module\.pth"):
        joined(None, converted, shapes)


def test_an_autoencoder_with_old_names_of_its_attention_is_the_same() -> None:
    shapes = tiny.MULTI_SCALE
    today = tiny.file_of(autoencoder_keys(shapes.autoencoder))
    names = {
        ".to_q.": ".query.",
        ".to_k.": ".key.",
        ".to_v.": ".value.",
        ".to_out.0.": ".proj_attn.",
    }
    old = {}
    for name, tensor in today.items():
        for new, before in names.items():
            name = name.replace(new, before)
        old[name] = tensor
    assert convert("vae", old, shapes).keys() == convert("vae", today, shapes).keys()


def test_an_autoencoder_as_stable_diffusion_wrote_it_is_the_same() -> None:
    shapes = tiny.MULTI_SCALE
    today = tiny.file_of(autoencoder_keys(shapes.autoencoder))
    original = {_original(name, 4): tensor for name, tensor in today.items()}
    for name in original:
        if ".mid.attn_1." in name and original[name].ndim == 2:
            original[name] = original[name][..., None, None]
    found = convert("vae", original | {"loss.logvar": torch.zeros(1)}, shapes)
    assert found.keys() == today.keys()
    assert all(torch.equal(found[name], today[name]) for name in today)


def _original(name: str, levels: int) -> str:
    """Stable Diffusion's name of a tensor of its autoencoder."""
    words = name.split(".")
    if words[1].endswith("_blocks"):
        way, level = words[1].removesuffix("_blocks"), int(words[2])
        level = levels - 1 - level if way == "up" else level
        inner = {"resnets": "block"}.get(words[3])
        rest = (
            [inner, words[4], *words[5:]]
            if inner
            else [words[3].removesuffix("rs")[:-2], *words[5:]]
        )
        words = [words[0], way, str(level), *rest]
        words = [{"conv_shortcut": "nin_shortcut"}.get(w, w) for w in words]
        words = [{"downsamp": "downsample", "upsamp": "upsample"}.get(w, w) for w in words]
    elif words[1] == "mid_block":
        part = f"block_{int(words[3]) + 1}" if words[2] == "resnets" else "attn_1"
        names = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out", "group_norm": "norm"}
        rest = [names.get(w, w) for w in words[4:] if w != "0"]
        words = [words[0], "mid", part, *rest]
    elif words[1] == "conv_norm_out":
        words = [words[0], "norm_out", *words[2:]]
    return ".".join(words)


def test_a_tiny_decoder_in_its_authors_own_file_is_the_same() -> None:
    shapes = tiny.MULTI_SCALE
    today = tiny.file_of(all_keys(shapes)["taesd"])
    own = {}
    for name, tensor in today.items():
        place, _, rest = name.removeprefix("decoder.layers.").partition(".")
        own[f"{int(place) + 1}.{rest}"] = tensor
    assert convert("taesd", own, shapes).keys() == today.keys()
