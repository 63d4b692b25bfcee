"""What the next chunk of motion starts from: where the last one goes on to, as people do."""

import numpy as np
import pytest
import torch

from audio2motion.gestures.style import STYLE_DIM, STYLE_PARTS, gains
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.habits import LATELY
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.source import (
    YOKED,
    coloured,
    companded,
    continuation,
    expanded,
    swells,
    white,
    whitened,
)
from motion2video.motion import MOTION_DIM, ROTATION, channel_index
from scripts.train.motion_source import SWELLING, Source, fit

SMALL = ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4)


def walks(count: int, frames: int = 2000, seed: int = 0) -> list[np.ndarray]:
    """Curves of which each is .9 of the frame before and noise of deviation .4."""
    rng = np.random.default_rng(seed)
    curves = np.zeros((count, frames, MOTION_DIM))
    for frame in range(1, frames):
        noise = rng.normal(size=(count, MOTION_DIM))
        curves[:, frame] = 0.9 * curves[:, frame - 1] + 0.4 * noise
    return list(curves)


def fit_all(curves: list[np.ndarray], styles: list[np.ndarray] | None = None) -> Source:
    """Of curves that are known and of which nothing is guessed."""
    ones, none = [np.ones_like(c) for c in curves], [np.zeros_like(c) for c in curves]
    return fit(curves, ones, none, styles or [np.zeros(STYLE_DIM, np.float32)] * len(curves))


@pytest.fixture(scope="module")
def fitted() -> Source:
    """Of two people one of whom moves the head twice as far."""
    wide = np.zeros(STYLE_DIM, np.float32)
    wide[STYLE_PARTS.index("pitch")] = np.log(2) / 0.7
    styles = [np.zeros(STYLE_DIM, np.float32), wide] * 3
    curves = [c * gains(s) for c, s in zip(walks(len(styles)), styles, strict=True)]
    return fit_all(curves, styles)


def test_the_fit_goes_on_from_the_last_frame(fitted: Source) -> None:
    recall = fitted.recall
    expected = 0.9 ** np.arange(1, CHUNK + 1)
    assert np.allclose(recall[1:, :, -1].mean(0), expected, atol=0.02)
    assert np.abs(recall[1:, :, :-1].mean(0)).max() < 0.02


def test_the_fit_knows_what_is_left_open(fitted: Source) -> None:
    """The further ahead, the more: sum of .9^2k times .4^2."""
    spread = np.sqrt((fitted.drive**2).sum(2))
    expected = 0.4 * np.sqrt(np.cumsum(0.81 ** np.arange(CHUNK)))
    assert np.allclose(spread[1:].mean(0), expected, rtol=0.05)
    pitch = ROTATION.start
    assert np.allclose(spread[pitch], expected, rtol=0.15)  # of the median person, not the wide one


def test_what_moves_together_is_mixed(fitted: Source) -> None:
    own = np.setdiff1d(np.arange(MOTION_DIM), [right for _, right in YOKED])
    assert np.abs(fitted.mix - np.eye(MOTION_DIM))[own].max() < 0.1
    curves = walks(4)
    for curve in curves:
        curve[:, 31] = curve[:, 30]
    mix = fit_all(curves).mix
    assert mix[31] @ mix[30] > 0.9


def test_what_is_not_known_is_not_fitted() -> None:
    curves, known = walks(4), []
    for curve in curves:
        weight = np.ones_like(curve)
        curve[::50, 7], weight[::50, 7] = 100, 0
        known.append(weight)
    none = [np.zeros_like(c) for c in curves]
    drive = fit(curves, known, none, [np.zeros(STYLE_DIM)] * 4).drive
    assert np.sqrt((drive[7] ** 2).sum(1)).max() < 1


def test_what_is_guessed_is_followed_as_far_as_it_is_true() -> None:
    """Curves of which each frame is twice its guess, which has nothing to do with the last."""
    rng = np.random.default_rng(0)
    guesses = [rng.normal(size=(1000, MOTION_DIM)) for _ in range(3)]
    curves = [2 * guess + 0.1 * rng.normal(size=guess.shape) + 1 for guess in guesses]
    known = [np.ones_like(c) for c in curves]
    found = fit(curves, known, guesses, [np.zeros(STYLE_DIM)] * 3)
    assert np.allclose(found.heard, 2, atol=0.05)
    assert np.allclose(found.rest, 1, atol=0.1)
    assert np.abs(found.recall).max() < 0.1
    found.drive[SWELLING] = found.drive[SWELLING] @ swells().numpy()
    assert np.allclose(np.diagonal(found.drive, 0, 1, 2), 0.1, atol=0.03)


def test_colour_and_white_are_inverse(fitted: Source) -> None:
    drive = torch.from_numpy(fitted.drive).float()
    u = torch.randn(2, 3, CHUNK, MOTION_DIM)
    assert torch.allclose(whitened(coloured(u, drive), drive), u, atol=1e-3)


def test_frames_do_not_move_by_innovations_after_them(fitted: Source) -> None:
    drive = torch.from_numpy(fitted.drive).float()
    u = torch.randn(1, CHUNK, MOTION_DIM)
    before = coloured(u, drive)
    u[:, 3:] += 1
    after = coloured(u, drive)
    face = [i for i in range(MOTION_DIM) if i not in SWELLING]
    assert torch.allclose(before[:, :3, face], after[:, :3, face])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_a_chunk_goes_on_without_a_jump(fitted: Source) -> None:
    recall = torch.from_numpy(fitted.recall).float()
    before = torch.linspace(0, 1, CHUNK)[None, :, None].expand(1, CHUNK, MOTION_DIM)
    assert (continuation(before, recall)[0, 0, 1:] - 0.9).abs().max() < 0.05


def test_noise_belongs_to_its_frame() -> None:
    assert torch.equal(white(3, 0, 15)[:, 5:10], white(3, 5, 5))
    assert not torch.equal(white(3, 0, 5), white(4, 0, 5))


def test_both_eyes_move_as_one() -> None:
    torch.manual_seed(0)
    network = MotionNetwork(SMALL)
    torch.nn.init.normal_(network.leave.weight)
    rng = np.random.default_rng(0)
    curves = [rng.normal(size=(300, MOTION_DIM)) for _ in range(2)]
    found = fit_all(curves)
    u_t = torch.randn(1, CHUNK, MOTION_DIM)
    embedded = torch.randn(1, CHUNK, 16 + len(SPEECH_CHANNELS))
    for left, right in YOKED:
        u_t[..., right] = u_t[..., left]
    origin, past = torch.zeros_like(u_t), network.past(network.empty_cache())
    then = torch.randn(1, LATELY, 2 * MOTION_DIM)
    moment = network.moment(torch.randn(1, 16), embedded, then, torch.ones(1, MOTION_DIM))
    said = network.said(u_t, 0.5, origin, moment, embedded, past)
    v = network.velocity(said, moment, u_t, 0.5)
    assert v[..., 1:52].std() > 0
    for left, right in YOKED:
        assert torch.allclose(v[..., left], v[..., right], atol=1e-5)
        assert all(np.array_equal(table[left], table[right]) for table in found)


def test_a_livelier_style_has_larger_innovations() -> None:
    network = MotionNetwork(SMALL)
    origin, u = torch.ones(1, CHUNK, MOTION_DIM), torch.ones(1, CHUNK, MOTION_DIM)
    styles = (torch.ones(1, STYLE_DIM), torch.zeros(1, STYLE_DIM))
    swings = (network.swing(style)[:, None].expand(-1, CHUNK, -1) for style in styles)
    far, near = (network.moved(origin, u, swing) - origin for swing in swings)
    assert (far >= near).all()
    ratio = (far / near)[0, 0, ROTATION]
    assert torch.allclose(ratio, torch.full((3,), float(np.exp(0.7))))


def test_tails_are_drawn_in_and_out_again() -> None:
    """Of every channel but those that are told to stay."""
    channels = torch.tensor([1.0, 1.0, 0.0])
    u = torch.tensor([[0.01, 36.0, 5.0], [-0.5, -8.0, -5.0]])
    z = companded(u, channels)
    assert torch.allclose(expanded(z, channels), u, rtol=1e-5)
    assert torch.equal(z[:, 2], u[:, 2])
    assert float(z[0, 0]) == pytest.approx(0.01, rel=1e-3) and float(z[0, 1]) < 4.5


def test_heads_and_brows_are_pushed_for_a_whole_chunk_and_a_lid_in_a_frame() -> None:
    waves = swells()
    assert torch.allclose(waves @ waves.T, torch.eye(CHUNK), atol=1e-6)
    assert torch.allclose(waves[0], waves[0, :1].expand(CHUNK)), "the first is all of it at once"
    source = fit_all(walks(2))
    drive = torch.from_numpy(source.drive)
    brow = channel_index("browInnerUp")
    for channel, pushed in ((ROTATION.start, True), (brow, True), (9, False)):
        frames = drive[channel] @ (waves.double() if pushed else torch.eye(CHUNK).double())
        assert frames.triu(1).abs().max() < 1e-6, "the linear rule's own innovations"
        assert bool(drive[channel].triu(1).abs().max() > 1e-3) == pushed
    push = torch.zeros(1, CHUNK, MOTION_DIM)
    push[:, 0] = 1
    moved = coloured(push, drive.float())[0, :, ROTATION.start]
    assert (moved.diff() > 0).all(), "farther and farther"
    assert torch.allclose(whitened(coloured(push, drive.float()), drive.float()), push, atol=1e-4)
