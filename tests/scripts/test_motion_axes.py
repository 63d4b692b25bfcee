"""What of a face moves together is one token."""

import numpy as np
import torch

from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.source import YOKED
from motion2video.motion import MOTION_DIM, ROTATION, channel_index
from scripts.evaluate.liveliness import TOGETHER, alike
from scripts.train.motion_axes import fit_axes

LEFT, RIGHT = (channel_index(f"browDown{side}") for side in ("Left", "Right"))
BLINK, SQUINT = channel_index("eyeBlinkLeft"), channel_index("eyeSquintLeft")


def faces(frames: int = 4000) -> np.ndarray:
    """Scores of faces whose brows go down together, nearly, and whose blinks bring a squint."""
    rng = np.random.default_rng(0)
    scores = np.cumsum(rng.normal(size=(frames, MOTION_DIM)), 0) * 0.05
    common, apart = scores[:, LEFT].copy(), scores[:, RIGHT].copy()
    scores[:, LEFT], scores[:, RIGHT] = common + 0.3 * apart, common - 0.3 * apart
    for left, right in YOKED:
        scores[:, right] = scores[:, left]
    for side in ("Left", "Right"):
        blink, squint = (channel_index(f"eye{name}{side}") for name in ("Blink", "Squint"))
        scores[:, squint] = 0.5 * scores[:, blink] + 0.3 * scores[:, squint]
    return scores.astype(np.float32)


def test_both_sides_are_one_token_and_what_sets_them_apart_another() -> None:
    scores = faces()
    axes = fit_axes([scores])
    tokens = scores @ axes.T
    steps = np.diff(tokens[::2], axis=0)
    assert abs(np.corrcoef(steps[:, LEFT], steps[:, RIGHT])[0, 1]) < 0.2
    assert np.allclose(tokens[:, [LEFT, RIGHT]].std(0), 1, atol=0.01)
    mirrored = scores.copy()
    mirrored[:, [LEFT, RIGHT]] = scores[:, [RIGHT, LEFT]]
    other = mirrored @ axes.T
    assert np.allclose(other[:, LEFT], tokens[:, LEFT], atol=1e-4)
    assert np.allclose(other[:, RIGHT], -tokens[:, RIGHT], atol=1e-4)


def test_a_squint_is_what_is_left_of_it_beside_the_blink() -> None:
    scores = faces()
    steps = np.diff((scores @ fit_axes([scores]).T)[::2], axis=0)
    before = np.diff(scores[::2], axis=0)
    assert np.corrcoef(before[:, BLINK], before[:, SQUINT])[0, 1] > 0.7
    assert abs(np.corrcoef(steps[:, BLINK], steps[:, SQUINT])[0, 1]) < 0.15


def test_lips_heads_and_lids_are_tokens_of_their_own() -> None:
    axes, same = fit_axes([faces()]), np.eye(MOTION_DIM)
    own = [*SPEECH_CHANNELS, *range(ROTATION.start, ROTATION.stop), BLINK]
    assert np.array_equal(axes[own], same[own])
    assert np.linalg.cond(fit_axes([])) < 10 and np.linalg.cond(axes) < 200


def test_tokens_go_back_to_values() -> None:
    network = MotionNetwork(ModelConfig(width=16, layers=1, heads=1, hidden=16, speech_features=4))
    values = torch.rand(500, MOTION_DIM)
    plain = network.normalise(values)
    network.axes.copy_(torch.from_numpy(fit_axes([faces()])))
    tokens = network.normalise(values)
    assert not torch.allclose(plain, tokens)
    assert torch.allclose(tokens, plain @ network.axes.T)
    again = network.normalise(network.denormalise(tokens))
    assert torch.allclose(again, tokens, atol=1e-2)


def test_what_belongs_together_is_told() -> None:
    values = np.cumsum(np.random.default_rng(1).normal(size=(500, MOTION_DIM)), 0)
    one, other = TOGETHER["brow down, both sides"]
    assert abs(alike([values], one, other)) < 0.2
    values[:, other] = values[:, one]
    assert alike([values[:250], values[250:]], one, other) > 0.999
