"""What motion is made from: smooth, stationary, and the same however it is cut."""

import numpy as np
import torch

from audio2motion.gestures.style import STYLE_DIM, STYLE_PARTS, gains
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.source import (
    HEAD,
    HELD,
    PACES,
    YOKED,
    begin,
    correlations,
    go_on,
    paced,
    white,
)
from motion2video.motion import MOTION_DIM, ROTATION
from scripts.train.motion_source import burst_of, fit


def processes(streams: int, frames: int) -> torch.Tensor:
    torch.manual_seed(0)
    noise = torch.randn(streams, 2 + frames, len(PACES), MOTION_DIM)
    return go_on(begin(noise[:, :2]), noise[:, 2:])[1]


def test_processes_have_unit_variance_from_their_first_frame_on() -> None:
    found = processes(60, 40).var((0, 3))
    assert (found - 1).abs().max() < 0.12


def test_processes_are_as_alike_as_their_correlations_say() -> None:
    curves = processes(60, 30)
    alike = (curves[:, 5:6] * curves[:, 5:]).mean((0, 3))
    assert np.allclose(alike.numpy(), correlations(25), atol=0.08)


def test_a_cut_does_not_change_the_processes() -> None:
    noise = white(3, 0, 15)
    state = begin(white(3, -2, 2))
    _, whole = go_on(state, noise)
    parts = []
    for start in range(0, 15, 5):
        state, part = go_on(state, white(3, start, 5))
        parts.append(part)
    assert torch.equal(torch.cat(parts, 1), whole)


def test_the_fit_finds_how_far_and_how_fast_each_channel_moves() -> None:
    """Curves of known processes, of two people one of whom moves the head twice as far."""
    rng = np.random.default_rng(0)
    torch.manual_seed(1)
    wide = np.zeros(STYLE_DIM, np.float32)
    wide[STYLE_PARTS.index("pitch")] = np.log(2) / 0.7
    styles = [np.zeros(STYLE_DIM, np.float32), wide] * 4
    curves = []
    for style in styles:
        noise = torch.randn(1, 2002, len(PACES), MOTION_DIM)
        made = go_on(begin(noise[:, :2]), noise[:, 2:])[1][0, :, PACES.index(5.0)].numpy()
        made[:, 0] = rng.normal(size=2000)
        curves.append(made * 0.3 * gains(style))
    shares, mix, bursts = fit(curves, [np.ones_like(c) for c in curves], styles)
    assert bursts < 0.15
    slow = PACES.index(5.0)
    assert np.allclose((shares**2).sum(0), 0.09, rtol=0.25)
    assert (shares[slow, 1:] ** 2).mean() > 0.8 * 0.09
    assert shares[0, 0] ** 2 > 0.8 * 0.09
    own = np.setdiff1d(np.arange(MOTION_DIM), [right for _, right in YOKED])
    assert np.abs(mix - np.eye(MOTION_DIM))[own].max() < 0.2


def test_bursts_are_found_again() -> None:
    curves = paced(processes(6, 1500), torch.tensor(0.4), torch.zeros(6, 1500))
    found = [burst_of(curve[:, PACES.index(5.0), HEAD].numpy()) for curve in curves]
    assert abs(np.median(found) - 0.4) < 0.1
    assert np.allclose(curves[..., HEAD].var((0, 1)).mean(), 1, atol=0.2)


def test_a_head_that_listens_drifts_and_hardly_moves_and_its_face_does_as_ever() -> None:
    curves = processes(4, 300)
    held = paced(curves, 0.0, torch.ones(4, 300))
    for pace, left in zip(range(len(PACES)), HELD, strict=True):
        assert torch.allclose(held[:, :, pace, HEAD], left * curves[:, :, pace, HEAD])
    assert torch.equal(held[..., : HEAD.start], curves[..., : HEAD.start])
    assert torch.equal(paced(curves, 0.0, torch.zeros(4, 300)), curves)


def test_heads_have_no_part_in_fast_processes() -> None:
    rng = np.random.default_rng(0)
    curves = [rng.normal(size=(300, MOTION_DIM)) for _ in range(2)]
    shares, _, _ = fit(curves, [np.ones_like(c) for c in curves], [np.zeros(STYLE_DIM)] * 2)
    fast = [i for i, pace in enumerate(PACES) if pace < 2]
    assert not shares[fast, ROTATION].any()
    assert shares[0, 0] > 0


def test_both_eyes_move_as_one() -> None:
    torch.manual_seed(0)
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    torch.nn.init.normal_(network.leave.weight)
    rng = np.random.default_rng(0)
    curves = [rng.normal(size=(300, MOTION_DIM)) for _ in range(2)]
    shares, mix, _ = fit(curves, [np.ones_like(c) for c in curves], [np.zeros(STYLE_DIM)] * 2)
    x_t, embedded = torch.randn(1, 5, MOTION_DIM), torch.randn(1, 5, 16 + len(SPEECH_CHANNELS))
    for left, right in YOKED:
        x_t[..., right] = x_t[..., left]
    v, _ = network.velocity(x_t, 0.5, embedded, network.past(network.empty_cache(1)))
    assert v[..., 1:52].std() > 0
    for left, right in YOKED:
        assert torch.allclose(v[..., left], v[..., right], atol=1e-5)
        assert np.array_equal(shares[:, left], shares[:, right])
        assert np.array_equal(mix[left], mix[right])


def test_a_livelier_style_starts_from_wider_swings() -> None:
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    curves = torch.ones(1, 3, len(PACES), MOTION_DIM)
    still, lively = torch.zeros(1, STYLE_DIM), torch.ones(1, STYLE_DIM)
    far, near = (network.source(curves, style, torch.zeros(1, 3)) for style in (lively, still))
    assert (far >= near).all()
    ratio = (far / near)[0, 0, ROTATION]
    assert torch.allclose(ratio, torch.full((3,), float(np.exp(0.7))))
