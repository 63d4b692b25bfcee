"""The renderer of public checkpoints keeps the laws of every renderer, on tiny networks."""

from typing import Any

import numpy as np
import pytest
import torch

from motion2video.faces.tracker import Face
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import Motion, channel_index
from motion2video.network.compute import ComputeConfig
from motion2video.portrait.portrait import Portrait
from motion2video.reference.attention import Reference
from motion2video.reference.networks import cast
from motion2video.reference.predictor import Economy, Predictor
from motion2video.reference.renderer import ReferenceRenderer, dtype_of
from motion2video.reference.settings import ReferenceConfig
from tests.motion2video.canonical import SIDE, canonical_face
from tests.motion2video.reference import tiny
from weights.errors import DependencyError, InputError, StateError, WeightsError

CPU = ComputeConfig(device="cpu")
BASIS = FaceBasis.load()


def made(
    name: str = "aniportrait", compute: ComputeConfig = CPU, **chosen: Any
) -> ReferenceRenderer:
    values: dict[str, Any] = {"size": 64, **chosen}
    config = ReferenceConfig(**values)
    told: list[str] = []
    renderer = ReferenceRenderer(
        tiny.FAMILIES[name], config, compute, BASIS, tiny.networks(name), told.append
    )
    renderer.told = told  # pyrefly: ignore[missing-attribute]
    return renderer


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    face = canonical_face()
    marks = face.pose.project(face.points[None])[0]
    low, high = marks[:, :2].min(0).tolist(), marks[:, :2].max(0).tolist()
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    seen = Face(marks, BASIS.rest_expression, (*low, *high), (SIDE, SIDE))
    return Portrait(np.ascontiguousarray(image), seen)


@pytest.fixture(scope="module")
def renderer() -> ReferenceRenderer:
    return made()


def talking(frames: int) -> Motion:
    motion = Motion.neutral(frames)
    motion.values[:, channel_index("jawOpen")] = 0.5 + 0.5 * np.sin(np.arange(frames))
    return motion


def frames_of(renderer: ReferenceRenderer, portrait: Portrait, *motions: Motion, seed: int = 0):
    return np.stack(list(renderer.stream(portrait, motions, seed)))


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_frames_out_are_frames_in_and_as_large_as_the_photo(name: str, portrait: Portrait) -> None:
    renderer = made(name)
    for count in (0, 1, 4, 5, 9):
        state = renderer.init_state(portrait)
        state, first = renderer.step(state, talking(count))
        _, rest = renderer.flush(state)
        assert np.concatenate([first, rest]).shape == (count, SIDE, SIDE, 3)


@pytest.mark.slow
def test_any_cut_of_the_motion_gives_the_same_frames(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    motion = talking(11)
    whole = frames_of(renderer, portrait, motion, seed=3)
    for cuts in ((1, 2, 3), (4,), (5, 5, 10)):
        parts = np.split(np.arange(11), cuts)
        pieces = [motion[part[0] : part[-1] + 1] if len(part) else motion[:0] for part in parts]
        assert np.array_equal(frames_of(renderer, portrait, *pieces, seed=3), whole)


@pytest.mark.slow
def test_motion_after_the_delay_never_changes_a_frame(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    motion, other = talking(11), talking(11)
    other.values[6:] *= -0.5
    one, two = frames_of(renderer, portrait, motion), frames_of(renderer, portrait, other)
    same = 6 - renderer.delay_frames
    assert renderer.delay_frames == 3 and np.array_equal(one[:same], two[:same])
    assert not np.array_equal(one[6:], two[6:])


def test_frames_come_as_their_group_is_complete(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    state = renderer.init_state(portrait)
    came = []
    for frame in range(8):
        state, frames = renderer.step(state, talking(8)[frame : frame + 1])
        came.append(len(frames))
    assert came == [0, 0, 0, 2, 0, 2, 0, 2], "windows of 4 that overlap by 2"


@pytest.mark.slow
def test_the_seed_and_the_motion_and_the_photo_decide(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    first = frames_of(renderer, portrait, talking(5), seed=1)
    assert np.array_equal(first, frames_of(renderer, portrait, talking(5), seed=1))
    assert not np.array_equal(first, frames_of(renderer, portrait, talking(5), seed=2))
    assert not np.array_equal(first, frames_of(renderer, portrait, Motion.neutral(5), seed=1))
    other = Portrait(255 - portrait.image, portrait.face)
    assert not np.array_equal(first, frames_of(renderer, other, talking(5), seed=1))


def test_a_used_state_is_refused(renderer: ReferenceRenderer, portrait: Portrait) -> None:
    state = renderer.init_state(portrait)
    ahead, _ = renderer.step(state, talking(2))
    with pytest.raises(StateError, match="used already"):
        renderer.step(state, talking(2))
    ended, _ = renderer.flush(ahead)
    for stale in (ahead, ended):
        with pytest.raises(StateError, match="ended"):
            renderer.flush(stale)


def test_memory_does_not_grow_with_the_length(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    state, held = renderer.init_state(portrait), set[tuple[int, ...]]()
    for _ in range(6):
        state, _ = renderer.step(state, talking(2))
        if state.pose is not None and state.carried is not None:
            sizes = [len(state.points), len(state.pose[0]), len(state.carried.latents)]
            held.add((*sizes, len(state.carried.predicted)))
    assert held == {(0, 2, 2, 2)}, "points, poses and latents of the overlap, and two steps of them"


def test_a_long_motion_in_one_piece_is_drawn_a_group_at_a_time(
    renderer: ReferenceRenderer, portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And portrait and poses are looked at once, not at every step."""
    predictor, calls = renderer._predictor, dict[str, list[int]]()
    for name in ("portray", "guide", "decode"):
        method, counts = getattr(predictor, name), calls.setdefault(name, [])
        counted = lambda x, *rest, m=method, c=counts: (c.append(len(x)), m(x, *rest))[1]  # noqa: E731
        monkeypatch.setattr(predictor, name, counted)
    stream = renderer.stream(portrait, [talking(11)])
    assert next(stream).shape == (SIDE, SIDE, 3)
    assert sum(calls["decode"]) == 2, "the rest waits until it is wanted"
    assert len(list(stream)) == 10
    assert sum(calls["portray"]) == 1 and sum(calls["guide"]) == sum(calls["decode"]) == 11


def test_windows_that_advance_together_are_one_batch(portrait: Portrait) -> None:
    renderer = made(together=3)
    assert renderer.delay_frames == 7
    batches = list[int]()
    unet = renderer._predictor._unets[0]
    unet.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    assert len(frames_of(renderer, portrait, talking(13))) == 13
    assert batches == [6, 6, 4, 2, 4, 2], "three windows; then two, and a shorter one at the end"


def test_a_draft_is_a_preview_by_the_tiny_autoencoder(
    renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    preview = renderer.at("draft")
    assert preview.config.preview and preview.sampling.steps == 1
    assert not renderer.config.preview and renderer.at("standard") is renderer
    assert not np.array_equal(
        frames_of(preview, portrait, talking(4)), frames_of(renderer, portrait, talking(4))
    )
    bare = made()
    bare._predictor.networks.__dict__["tiny"] = None
    with pytest.raises(DependencyError, match="tiny autoencoder"):
        frames_of(bare.at("draft"), portrait, talking(2))


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_networks_that_wait_in_memory_draw_the_same(
    offload: str, renderer: ReferenceRenderer, portrait: Portrait
) -> None:
    pytest.importorskip("accelerate")
    waiting = made(offload=offload, slicing=True)
    expected = frames_of(renderer, portrait, talking(4)).astype(int)
    assert np.abs(frames_of(waiting, portrait, talking(4)) - expected).max() <= 1


@pytest.mark.slow
def test_windows_on_several_devices_are_drawn_as_on_one(portrait: Portrait) -> None:
    one = made(together=3)
    predictor = one._predictor
    two = made(together=3)
    two._predictor = Predictor(
        predictor.networks,
        [torch.device("cpu")] * 2,
        torch.float32,
        "none",
        Economy(),
        "sdpa",
        False,
        lambda _: None,
    )
    first, second = (frames_of(r, portrait, talking(9)).astype(int) for r in (one, two))
    assert np.abs(first - second).max() <= 1


def test_guidance_goes_from_the_half_without_portrait_token_and_reference(
    renderer: ReferenceRenderer,
) -> None:
    """Both halves computed plainly, one window at a time."""
    predictor = renderer._predictor
    random = torch.Generator().manual_seed(1)
    latents = torch.randn(6, 4, 8, 8, generator=random)
    windows, guidance = [slice(0, 4), slice(2, 6)], 2.5
    side = tiny.IMAGE_ENCODER.image
    picture, small = (torch.rand(1, 3, s, s, generator=random) for s in (64, side))
    seen = predictor.portray(picture, small)
    pose = predictor.guide(torch.rand(6, 3, 64, 64, generator=random))
    found = predictor.predict(latents, 999, windows, pose, seen, guidance)
    unet = predictor.networks.denoising
    for window, one in zip(windows, found, strict=True):
        given = (latents[window].transpose(0, 1)[None], 999)
        levels = [level[window] for level in pose]
        with torch.inference_mode():
            without = unet(*given, torch.zeros_like(seen.token), levels, Reference(seen.sight, 0))
            condition = unet(*given, seen.token, levels, Reference(seen.sight, 4))
        wanted = (without + guidance * (condition - without))[0].transpose(0, 1)
        torch.testing.assert_close(one, wanted, atol=1e-4, rtol=1e-3)
        assert (condition - without).abs().max() > 1e-3


@pytest.mark.slow
def test_out_of_memory_less_is_done_at_a_time(portrait: Portrait) -> None:
    renderer = made(together=3, guidance=2.0)
    unet = renderer._predictor._unets[0]
    forward, batches = unet.forward, list[int]()

    def small(sample: torch.Tensor, *rest: Any) -> torch.Tensor:
        batches.append(len(sample))
        if len(sample) > 1:
            raise torch.OutOfMemoryError("no memory")
        return forward(sample, *rest)

    unet.forward = small  # pyrefly: ignore[bad-assignment]
    frames = frames_of(renderer, portrait, talking(8)).astype(int)
    assert batches[:4] == [6, 2, 1, 1], "all, one window, half of one"
    expected = frames_of(made(together=3, guidance=2.0), portrait, talking(8))
    assert np.abs(frames - expected).max() <= 1
    assert "one window at a time" in renderer.told[0]  # pyrefly: ignore[missing-attribute]


def test_where_nothing_fits_it_is_said_what_would(portrait: Portrait) -> None:
    renderer = made()

    def never(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory")

    renderer._predictor._unets[0].forward = never  # pyrefly: ignore[bad-assignment]
    with pytest.raises(DependencyError, match="--resolution, or --offload sequential"):
        frames_of(renderer, portrait, talking(4))


def test_results_that_are_no_numbers_are_computed_again_in_a_wider_format(
    portrait: Portrait,
) -> None:
    networks = tiny.networks()
    for _, network in networks.all():
        if network is not networks.autoencoder:
            cast(network, torch.float16)
    told: list[str] = []
    config = ReferenceConfig(size=64)
    renderer = ReferenceRenderer(
        tiny.FAMILIES["aniportrait"], config, CPU, BASIS, networks, told.append
    )
    with torch.no_grad():
        weight = networks.denoising.network.conv_in.weight
        weight.copy_(weight * 0 + 6e4)  # the sum of 36 is more than fp16 holds
    frames = frames_of(renderer, portrait, talking(4))
    assert frames.shape[0] == 4
    assert told and "float16 were not numbers; now bfloat16" in told[0]
    assert renderer.describe()["precision"] in ("bfloat16", "float32")


def test_black_frames_are_drawn_again_in_a_wider_format(
    portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer = made()
    predictor = renderer._predictor
    decode, formats = predictor.decode, list[torch.dtype]()

    def decoded(latents: torch.Tensor, tiny: bool) -> torch.Tensor:
        formats.append(predictor.dtype)
        frames = decode(latents, tiny)
        return frames * 0 if predictor.dtype == torch.bfloat16 else frames

    monkeypatch.setattr(predictor, "decode", decoded)
    expected = frames_of(renderer, portrait, talking(4))
    for name, network in predictor.networks.all():
        if name != "autoencoder":
            cast(network, torch.bfloat16)
    predictor.dtype = torch.bfloat16
    formats.clear()
    frames = frames_of(renderer, portrait, talking(4))
    assert formats[:2] == [torch.bfloat16, torch.float32] and frames.any((1, 2, 3)).all()
    assert "bfloat16 were black frames; now float32" in renderer.told[0]  # pyrefly: ignore[missing-attribute]
    assert np.abs(frames.astype(int) - expected).mean() < 8, "of weights that bf16 has rounded"
    monkeypatch.setattr(predictor, "decode", lambda *given: decode(*given) * 0)
    with pytest.raises(WeightsError, match="black frames, not even in fp32"):
        frames_of(renderer, portrait, talking(4))
    dark = Portrait(portrait.image // 32, portrait.face)
    assert not frames_of(renderer, dark, talking(4)).any(), "as the photo is"


def test_weights_that_give_no_numbers_at_all_are_called_damaged(portrait: Portrait) -> None:
    renderer = made()
    with torch.no_grad():
        renderer._predictor.networks.denoising.network.conv_in.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match="damaged"):
        frames_of(renderer, portrait, talking(4))


def test_layers_that_come_and_go_are_not_compiled() -> None:
    with pytest.raises(InputError, match="wanted one of them"):
        made(compute=ComputeConfig(device="cpu", compile=True), offload="sequential")


def test_more_gpus_than_windows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from motion2video.reference import renderer as module

    monkeypatch.setattr(module, "devices_of", lambda _: [torch.device("cpu")] * 4)
    two = made(together=2)
    assert len(two._predictor._unets) == 2
    assert "2 of 4 GPUs will draw" in two.told[0]  # pyrefly: ignore[missing-attribute]
    assert len(made(together=4, offload="model")._predictor.devices) == 1


def test_int8_is_refused() -> None:
    with pytest.raises(InputError, match="int8"):
        dtype_of(ComputeConfig(device="cpu", precision="int8"))
    assert dtype_of(CPU) == torch.float32


def test_a_small_face_is_remarked(renderer: ReferenceRenderer, portrait: Portrait) -> None:
    assert renderer.remarks(portrait) == ()
    wide = np.zeros((SIDE, 4 * SIDE, 3), np.uint8)
    assert "crop head" in renderer.remarks(Portrait(wide, portrait.face))[0]
