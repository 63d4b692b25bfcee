"""The networks compute what the checkpoints were trained for: against plain computations."""

from functools import cache
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import softmax

from motion2video.reference.attention import Reference, Sight, attentions
from motion2video.reference.families import BatchNorm
from motion2video.reference.guiders import use_window_statistics
from motion2video.reference.keys import attention_places, motion_places
from motion2video.reference.networks import Networks, make_networks
from motion2video.reference.unets import FrameNorm
from tests.motion2video.reference import tiny

SIDE = 8  # of latents


@cache
def shared() -> Networks:
    """One of each for all tests here: what makes them takes seconds to load."""
    return tiny.networks()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_group_norm_of_motion_modules_is_a_loop_over_frames() -> None:
    unet = shared().denoising
    norms = [module for module in unet.modules() if isinstance(module, FrameNorm)]
    assert len(norms) == len(list(motion_places(tiny.UNET)))
    norm, features = norms[0], noise(2, norms[0].num_channels, 3, 4, 4)
    features[:, :, 1] *= 5  # one frame unlike the others
    plain = torch.nn.functional.group_norm
    looped = torch.stack(
        [plain(features[:, :, f], 4, norm.weight, norm.bias, norm.eps) for f in range(3)], 2
    )
    torch.testing.assert_close(norm(features), looped)
    together = plain(features, 4, norm.weight, norm.bias, norm.eps)
    assert (together - looped).abs().max() > 0.1


def looked_at(picture_seed: int = 1) -> Sight:
    return shared().reference(noise(1, 4, SIDE, SIDE, seed=picture_seed), noise(1, 1, 12))


def test_the_portrait_is_seen_at_every_spatial_transformer() -> None:
    places = {f"{p}.transformer_blocks.0.attn1" for p, _ in attention_places(tiny.UNET)}
    assert looked_at().tokens.keys() == places
    ours = {n for n, _ in attentions(shared().denoising.network)}
    assert places <= ours, "paired by name"


def test_what_is_seen_is_the_normalised_input_of_self_attention() -> None:
    block = shared().reference.network.get_submodule(
        "down_blocks.0.attentions.0.transformer_blocks.0"
    )
    given = []
    handle = block.norm1.register_forward_hook(lambda *args: given.append(args[2]))  # pyrefly: ignore[missing-attribute]
    sight = looked_at()
    handle.remove()
    place = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert torch.allclose(sight.tokens[place], given[0])


def test_attention_to_the_portrait_is_a_plain_softmax_over_both() -> None:
    place = "mid_block.attentions.0.transformer_blocks.0.attn1"
    layer: Any = dict(attentions(shared().denoising.network))[place]
    hidden, seen = noise(4, 5, 16), noise(1, 3, 16, seed=1)
    found = layer(hidden, reference=Reference(Sight({place: seen}), rows=2))

    def plain(x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (
            rearrange(y, "n (h d) -> h n d", h=layer.heads)
            for y in (layer.to_q(x), layer.to_k(context), layer.to_v(context))
        )
        weights = softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1)
        return layer.to_out[0](rearrange(weights @ v, "h n d -> n (h d)"))

    alone = [plain(hidden[i], hidden[i]) for i in (0, 1)]
    both = [plain(hidden[i], torch.cat([hidden[i], seen[0]])) for i in (2, 3)]
    assert torch.allclose(found, torch.stack(alone + both), atol=1e-5)


def test_sliced_attention_is_the_same() -> None:
    sliced = make_networks(tiny.MULTI_SCALE, rows=2).denoising.eval()
    sliced.load_state_dict(shared().denoising.state_dict())
    assert torch.allclose(predicted(sliced), predicted(shared().denoising), atol=1e-5)


def test_only_attention_over_a_frame_is_sliced() -> None:
    """Motion modules have a row for every place of a frame: a few at a time would take for ever."""
    sliced = make_networks(tiny.MULTI_SCALE, rows=2).denoising
    for name, layer in attentions(sliced.network):
        assert layer.processor.rows == (None if "motion_modules" in name else 2)


def predicted(unet: torch.nn.Module, **other: Any) -> Tensor:
    frames = 3
    pose = shared().guider(noise(frames, 3, SIDE * 8, SIDE * 8, seed=5))
    given: dict[str, Any] = {
        "sample": noise(1, 4, frames, SIDE, SIDE, seed=2),
        "timestep": 999,
        "tokens": noise(1, 1, 12, seed=3),
        "pose": pose,
        "reference": Reference(looked_at(), frames),
    }
    with torch.inference_mode():
        return unet(**given | other)


def test_every_condition_reaches_the_prediction() -> None:
    unet = shared().denoising
    whole = predicted(unet)
    assert whole.shape == (1, 4, 3, SIDE, SIDE)
    for other in (
        {"timestep": 500},
        {"tokens": torch.zeros(1, 1, 12)},
        {"reference": Reference(looked_at(9), 3)},
        {"reference": Reference(looked_at(), 0)},
    ):
        assert (predicted(unet, **other) - whole).abs().max() > 1e-4
    pose = shared().guider(noise(3, 3, SIDE * 8, SIDE * 8, seed=5))
    for level in range(len(pose)):
        changed = [x + (i == level) for i, x in enumerate(pose)]
        assert (predicted(unet, pose=changed) - whole).abs().max() > 1e-6, level


def test_the_pose_is_added_where_it_is_documented() -> None:
    """After conv_in, and after each level on the way down, whose own skips it does not touch."""
    unet, pose = shared().denoising, shared().guider(noise(3, 3, SIDE * 8, SIDE * 8, seed=5))
    into, out, skips = {}, {}, {}
    hooks = []
    for name in ("conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2", "down_blocks.3"):
        module = unet.network.get_submodule(name)

        def see(_m: object, args: tuple, kwargs: dict, made: object, name: str = name) -> None:
            into[name] = args[0] if args else kwargs.get("hidden_states")
            out[name], skips[name] = made if isinstance(made, tuple) else (made, None)

        hooks.append(module.register_forward_hook(see, with_kwargs=True))
    middle = unet.network.mid_block.register_forward_pre_hook(
        lambda _m, args: into.update(mid=args[0])
    )
    predicted(unet)
    for hook in (*hooks, middle):
        hook.remove()
    torch.testing.assert_close(into["down_blocks.0"], out["conv_in"] + pose[0])
    names = ["down_blocks.1", "down_blocks.2", "down_blocks.3", "mid"]
    for i, name in enumerate(names):
        before = f"down_blocks.{i}"
        torch.testing.assert_close(into[name], out[before] + pose[i + 1])
        assert torch.equal(skips[before][-1], out[before])


def test_frames_of_a_window_know_each_other_and_windows_of_a_batch_do_not() -> None:
    unet = shared().denoising
    one = noise(1, 4, 3, SIDE, SIDE, seed=2)
    two = torch.cat([one, noise(1, 4, 3, SIDE, SIDE, seed=7)])
    pose = shared().guider(noise(3, 3, SIDE * 8, SIDE * 8, seed=5))
    double = predicted(
        unet,
        sample=two,
        tokens=noise(1, 1, 12, seed=3).expand(2, -1, -1),
        pose=[torch.cat([x, x]) for x in pose],
        reference=Reference(looked_at(), 6),
    )
    torch.testing.assert_close(double[:1], predicted(unet), atol=1e-5, rtol=1e-4)
    changed = one.clone()
    changed[:, :, 2] += 1
    assert (predicted(unet, sample=changed)[:, :, 0] - predicted(unet)[:, :, 0]).abs().max() > 1e-4


def test_the_multi_scale_guider_gives_what_the_levels_take() -> None:
    found = shared().guider(noise(2, 3, 64, 64))
    assert [tuple(x.shape) for x in found] == [
        (2, 8, 8, 8),
        (2, 8, 4, 4),
        (2, 16, 2, 2),
        (2, 16, 1, 1),
        (2, 16, 1, 1),
    ]


@pytest.mark.parametrize("mode", ["eval", "window"])
def test_batch_norm_uses_what_was_learned_or_the_window(mode: BatchNorm) -> None:
    guider = tiny.networks(seed=4).guider
    if mode == "window":
        use_window_statistics(guider)
    before = {n: b.clone() for n, b in guider.named_buffers() if "running" in n}
    frames = noise(3, 3, 128, 128)
    alone, together = guider(frames[:1])[0], guider(frames)[0][:1]
    same = torch.allclose(alone, together, atol=1e-5)
    assert same == (mode == "eval"), "frames know each other by their statistics alone"
    after = {n: b for n, b in guider.named_buffers() if "running" in n}
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_the_guider_of_convolutions_is_controlnets_embedding() -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    ours = tiny.networks("animate-anyone").guider
    theirs = ControlNetConditioningEmbedding(8, 3, tiny.CONVOLUTIONS.guider.widths)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    pose = noise(2, 3, 64, 64)
    assert torch.equal(ours(pose)[0], theirs(pose))
