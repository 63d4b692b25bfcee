"""The motion network: the cached path is the parallel one, and nothing looks ahead."""

import numpy as np
import pytest
import torch

from audio2motion.behaviour.events import EventState, Scene, blink_curve, step_events
from audio2motion.gestures.style import STYLE_DIM
from audio2motion.network.bursts import PLACES, Moment
from audio2motion.network.condition import (
    CHUNK,
    CONTROL_DIM,
    GLANCE,
    INPUTS,
    SEEN_DIM,
    Condition,
    agent_dim,
    agent_window,
    seen_window,
)
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.habits import LATELY
from audio2motion.network.model import (
    KNOWN_FRAMES,
    MOST_LEAD,
    ModelConfig,
    MotionNetwork,
    training_mask,
)
from motion2video.motion import EXPRESSION_NAMES, MOTION_DIM, ROTATION, channel_index
from scripts.train.motion_batches import chunked, lately
from tests.unchecked import unchecked

SMALL = ModelConfig(width=32, layers=2, heads=2, hidden=48, history=10, speech_features=8)
FRAMES = 30


@pytest.fixture(scope="module")
def network() -> MotionNetwork:
    torch.manual_seed(0)
    network = MotionNetwork(SMALL).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def conditions(frames: int = FRAMES, seed: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(1, frames, size, generator=generator)

    return Condition(
        normal(agent_dim(8)),
        normal(10),
        normal(SEEN_DIM),
        normal(CONTROL_DIM),
        torch.ones(1, frames, len(INPUTS)),
    )


def test_cache_gives_what_the_whole_sequence_gives(network: MotionNetwork) -> None:
    """Every chunk in the making after the finished ones, each at its own flow time."""
    torch.manual_seed(1)
    embedded, style = network.embed(conditions()), torch.full((1, 1, MOTION_DIM), 1.5)
    finished, done, origin, u_t = (torch.randn(1, FRAMES, MOTION_DIM) for _ in range(4))
    times = torch.linspace(0, 0.9, FRAMES // CHUNK).repeat_interleave(CHUNK)[None]
    past, after = network.finished(finished, done, embedded)
    then = lately(finished, done)
    every = network.moment(after, chunked(embedded), then, style)
    made = network.moved(chunked(origin), chunked(u_t), every.reach).flatten(1, 2)
    said = network.said_of_all(past, made, u_t, times, embedded, every)
    whole = network.expected(said, every, u_t, times)
    cache = network.empty_cache()
    for number, start in enumerate(range(0, FRAMES, CHUNK)):
        here, t = slice(start, start + CHUNK), float(times[0, start])
        past = network.past(cache)
        moment = network.moment(after[:, number], embedded[:, here], then[:, number], style[:, 0])
        said = network.said(u_t[:, here], t, origin[:, here], moment, embedded[:, here], past)
        v = network.velocity(said, moment, u_t[:, here], t)
        assert torch.allclose(u_t[:, here] + (1 - t) * v, whole[:, here], atol=1e-4), start
        kept, last = network.remember(finished[:, here], done[:, here], embedded[:, here], past)
        cache = cache.followed_by(kept, CHUNK)
        if start + CHUNK < FRAMES:
            assert torch.allclose(last, after[:, start // CHUNK + 1], atol=1e-4), start
    assert cache.filled == SMALL.history


def now(network: MotionNetwork, seed: int = 0, size: float = 1.0) -> Moment:
    """A chunk's, after anything."""
    generator = torch.Generator().manual_seed(seed)
    after = torch.randn(1, SMALL.width, generator=generator)
    then = torch.randn(1, LATELY, 2 * MOTION_DIM, generator=generator)
    embedded = network.embed(conditions(CHUNK, seed))
    return network.moment(after, embedded, then, torch.full((1, MOTION_DIM), size))


def test_mask_is_causal_and_bounded() -> None:
    """The first 20 rows and columns are finished frames, the others frames in the making."""
    mask = training_mask(20, 10, torch.device("cpu"))
    assert mask[4].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert mask[17].nonzero()[:, 0].tolist() == list(range(7, 18))
    assert mask[20 + 2].nonzero()[:, 0].tolist() == [20, 21, 22]
    assert mask[20 + 17].nonzero()[:, 0].tolist() == [*range(7, 15), 35, 36, 37]


def test_layers_do_not_see_later_frames_of_a_chunk_but_its_kinds_do(network: MotionNetwork) -> None:
    torch.manual_seed(2)
    u, embedded = torch.randn(1, CHUNK, MOTION_DIM), network.embed(conditions(CHUNK))
    origin, past, moment = torch.zeros_like(u), network.past(network.empty_cache()), now(network)
    before = network.velocity(network.said(u, 0.0, origin, moment, embedded, past), moment, u, 0.0)
    u[:, 3:] += 1
    after = network.velocity(network.said(u, 0.0, origin, moment, embedded, past), moment, u, 0.0)
    lips, rest = list(SPEECH_CHANNELS), list(PLACES)
    assert torch.equal(before[:, :3, lips], after[:, :3, lips])
    assert not torch.equal(before[:, 3, lips], after[:, 3, lips])
    assert not torch.equal(before[:, 0, rest], after[:, 0, rest])


def test_where_innovations_are_led_is_bounded_and_goes_by_the_style(network: MotionNetwork) -> None:
    torch.nn.init.normal_(network.lead_at.weight)
    found, twice = now(network), now(network, size=2.0)
    lips = list(SPEECH_CHANNELS)
    assert 0 < found.lead.abs().max() <= MOST_LEAD
    assert not found.lead[..., lips].any(), "lips are led by what is heard"
    assert torch.equal(twice.lead, 2 * found.lead) and torch.equal(twice.reach, 2 * found.reach)
    assert torch.equal(twice.means, found.means), (
        "kinds are larger by what they are multiplied with"
    )
    network.lead_at.weight.data.zero_()


def test_a_voice_is_told_from_the_usual_ones_the_longer_it_speaks_the_more(
    network: MotionNetwork,
) -> None:
    count = len(SPEECH_CHANNELS)
    network.usual.copy_(torch.linspace(-1, 1, count))
    strange = network.usual + 0.5
    assert torch.allclose(network.off(99 * network.usual, 99.0), torch.zeros(count), atol=1e-6)
    assert not network.off(torch.zeros(count), 0.0).any()
    few, many = (network.off(n * strange, float(n)) for n in (KNOWN_FRAMES, 99 * KNOWN_FRAMES))
    assert torch.allclose(few, torch.tensor(0.25)) and torch.allclose(many, torch.tensor(0.495))
    heard, corrected = (network.embed(conditions(), off=off) for off in (None, many))
    guesses = network.guesses(heard) - network.guesses(corrected)
    assert torch.allclose(guesses, many.expand_as(guesses), atol=1e-5)
    assert not torch.equal(heard[..., : SMALL.width], corrected[..., : SMALL.width])
    network.usual.zero_()


def test_what_leads_lips_on_and_on_is_taken_from_what_is_new(network: MotionNetwork) -> None:
    steady = torch.full((MOTION_DIM,), 0.3)
    found = network.astray(99 * KNOWN_FRAMES * steady, 99.0 * KNOWN_FRAMES)
    lips = list(SPEECH_CHANNELS)
    assert torch.allclose(found[lips], 0.99 * steady[lips])
    assert not found[[53, channel_index("browInnerUp")]].any(), "heads and brows go where they go"
    assert not network.astray(torch.zeros(MOTION_DIM), 0.0).any()


def test_what_goes_too_far_strides_less(network: MotionNetwork) -> None:
    before = now(network).reach
    network.stride[53] = 0.6
    found = now(network).reach
    assert torch.allclose(found[..., 53], 0.6 * before[..., 53])
    assert torch.equal(found[..., :53], before[..., :53])
    assert torch.equal(network.swing(torch.zeros(1, STYLE_DIM)), torch.ones(1, MOTION_DIM))
    network.stride.fill_(1)


def test_lips_go_on_with_what_is_heard_now_and_not_with_what_was(network: MotionNetwork) -> None:
    """As far off as they were of what was heard then: not at all, if they were not."""
    embedded = torch.randn(2, CHUNK, SMALL.width + len(SPEECH_CHANNELS))
    network.heard.copy_(torch.rand(MOTION_DIM, CHUNK))
    network.recall.copy_(torch.eye(CHUNK).expand(MOTION_DIM, -1, -1))
    then, now = network.heard_alone(embedded).split(1)
    rest = [i for i in range(MOTION_DIM) if i not in SPEECH_CHANNELS]
    assert not now[..., rest].any() and now[..., list(SPEECH_CHANNELS)].abs().min() > 0
    assert torch.equal(network.origin(then, then, now), now)
    assert torch.allclose(network.origin(then + 1, then, now), now + 1, atol=1e-5)
    network.heard.zero_()
    network.recall.zero_()


def test_the_lips_of_finished_frames_are_not_seen(network: MotionNetwork) -> None:
    embedded, past = network.embed(conditions(CHUNK)), network.past(network.empty_cache())
    tokens, origin = torch.randn(2, 1, CHUNK, MOTION_DIM)

    def features(tokens: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        return network.remember(tokens, network.done(tokens, origin), embedded, past)[1]

    before = features(tokens, origin)
    for some in (tokens, origin):
        some[..., list(SPEECH_CHANNELS)] += 1
        assert torch.equal(before, features(tokens, origin))
    assert not torch.equal(before, features(tokens, origin + 1)), "what was new is"
    tokens[..., -40] += 1
    origin[..., -40] += 1
    assert not torch.equal(before, features(tokens, origin)), "and where it was"


@pytest.mark.parametrize("name", INPUTS)
def test_absent_input_cannot_matter(network: MotionNetwork, name: str) -> None:
    one, two = conditions(seed=1).without(name), conditions(seed=1).without(name)
    field = {"agent": one.agent, "interlocutor": one.interlocutor}.get(name)
    field = one.interlocutor_motion if name == "interlocutor_motion" else field
    field = one.controls if field is None else field
    field += 1
    assert torch.equal(network.embed(one), network.embed(two))
    assert not torch.equal(network.embed(conditions(seed=1)), network.embed(two))


def test_ignored_input_keeps_its_presence_but_not_its_values() -> None:
    embedding = MotionNetwork(SMALL).condition
    one, two = conditions(seed=1), conditions(seed=1)
    two.controls.mul_(3)
    assert not torch.equal(embedding(one), embedding(two))
    embedding.ignore("controls")
    assert torch.equal(embedding(one), embedding(two))


def test_agent_window_reaches_ahead() -> None:
    features = torch.arange(12.0)[:, None]
    window = agent_window(features, torch.zeros(12), torch.arange(12.0))
    assert window.shape == (7, 3 + 12)
    assert window[2, :3].tolist() == [3, 5, 7]
    assert window[2, -6:].tolist() == [2, 3, 4, 5, 6, 7]


def test_blink_closes_faster_than_it_opens() -> None:
    ms = np.arange(0, 320, 1.0)
    curve = np.array([blink_curve(m, 90.0, 40.0, 170.0) for m in ms.tolist()])
    assert curve.max() == 1.0
    down, up = ms[curve >= 0.5][0], ms[curve >= 0.5][-1]
    assert 30 < down < 60
    assert 180 < up < 230
    assert curve[0] == curve[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("speaks", "low", "high"), [(False, 8, 26), (True, 15, 40)])
def test_blink_rates_are_human(speaks: bool, low: float, high: float) -> None:
    minutes = 5
    state, previous, starts = EventState(), -1.0, []
    with unchecked():
        for frame in range(minutes * 1500):
            state, _ = step_events(state, 3, frame, Scene(speaks, not speaks))
            if state.eyes.blink_age >= 0 and previous < 0:
                starts.append(frame)
            previous = state.eyes.blink_age
    assert low < len(starts) / minutes < high
    intervals = np.diff(starts) / 25
    assert intervals.std() / intervals.mean() > 0.35
    assert intervals.min() >= 0.25


def test_gaze_goes_where_it_is_asked() -> None:
    state = EventState()
    out = np.zeros(MOTION_DIM, np.float32)
    for frame in range(10):
        state, out = step_events(state, 0, frame, Scene(True, False, gaze=(16.0, 0.0)))
    assert 0.4 < out[EXPRESSION_NAMES.index("eyeLookOutLeft")] < 0.6
    assert out[EXPRESSION_NAMES.index("eyeLookInLeft")] == 0
    assert state.eyes.head[0] > 0


def test_what_was_seen_before_is_told_beside_what_is_seen_now() -> None:
    """How far head and smile were from where they are, wherever that is; nothing of who was not
    seen.
    """
    tokens = torch.zeros(GLANCE + 3, MOTION_DIM + 1)
    tokens[:, -1] = 1
    tokens[GLANCE - 8, ROTATION.start] = 2.0
    window = seen_window(tokens)
    assert window.shape == (3, SEEN_DIM)
    assert torch.equal(window[:, : MOTION_DIM + 1], tokens[GLANCE:])
    told = window[:, MOTION_DIM + 1 :]
    assert (told != 0).sum(1).tolist() == [1, 1, 1] and float(told.max()) == 2.0
    assert told[0].argmax() - told[1].argmax() == 1, "a frame later it lies a frame farther back"
    higher = tokens.clone()
    higher[:, ROTATION] += 0.7
    assert torch.allclose(seen_window(higher)[:, MOTION_DIM + 1 :], told, atol=1e-6)
    tokens[GLANCE - 8, -1] = 0
    assert not seen_window(tokens)[:, MOTION_DIM + 1 :].any()


def test_a_nod_of_the_other_is_known_for_a_second(network: MotionNetwork) -> None:
    frames = conditions()
    seen = frames.interlocutor_motion
    before = network.embed(frames)
    seen[0, 5:, MOTION_DIM + 1 :] += 1
    after = network.embed(frames)
    assert torch.equal(before[0, :5], after[0, :5])
    assert not torch.equal(before[0, 5], after[0, 5])
