"""What a user asks for, on values by hand and on the real generator."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from audio2motion.behaviour.events import BLINK_CHANNELS
from audio2motion.gestures.controls import (
    EXPRESSIVE,
    REGION_CHANNELS,
    REGIONS,
    Controls,
    Regions,
    named_style,
    parse_gaze,
    parse_regions,
    regions_of,
)
from audio2motion.gestures.emotion import EMOTIONS, VALENCE_AROUSAL, affect_offset, class_offset
from audio2motion.gestures.gestures import PITCH, YAW, Gesture
from audio2motion.gestures.style import CONVERSING, STYLES, gains
from audio2motion.hearing.audio import Dyad, Waveform
from audio2motion.network.chunks import smile_detail
from audio2motion.network.condition import CONTROL_DIM
from audio2motion.network.gate import SPEECH_CHANNELS
from audio2motion.network.generator import MotionGenerator
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import (
    DETAIL,
    EXPRESSION_NAMES,
    EYE_TURN_DEGREES,
    MOTION_DIM,
    ROTATION,
    TRANSLATION,
    Motion,
    channel_index,
)
from weights.errors import InputError

BROWS = list(REGION_CHANNELS["brows"])
HEAD = list(REGION_CHANNELS["head"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"emotion": "hangry"}, "there is no emotion 'hangry'"),
        ({"intensity": float("nan")}, "got intensity nan; wanted 0 to 2"),
        ({"expressivity": 2.5}, "got expressivity 2.5; wanted 0 to 2"),
        ({"valence": 1.5}, "got valence 1.5; wanted -1 to 1"),
        ({"arousal": -2.0}, "got arousal -2.0"),
        ({"gaze": (90.0, 0.0)}, "got gaze 90,0; wanted two angles within 40"),
        ({"gaze": (0.0, float("nan"))}, "got gaze"),
    ],
)
def test_values_are_checked(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Controls(**changes)


def test_texts_are_read_or_refused() -> None:
    assert parse_gaze("camera") == (0, 0) and parse_gaze("10, -5.5") == (10, -5.5)
    for text in ("up", "1,2,3", "1;2", ""):
        with pytest.raises(InputError, match="wanted camera, or degrees"):
            parse_gaze(text)
    assert regions_of(parse_regions(["head=0.5", "eyes=1", "head=0"])) == Regions(
        eyes=1.0, head=0.0
    )
    for text in ("head", "head=much"):
        with pytest.raises(InputError, match=r"such as head=0\.5"):
            parse_regions([text])
    with pytest.raises(InputError, match="no region 'ears'; wanted one of mouth, brows"):
        regions_of({"ears": 1.0})
    with pytest.raises(InputError, match="the head's expressivity 3"):
        regions_of({"head": 3.0})
    assert named_style("calm") == STYLES["calm"]
    with pytest.raises(InputError, match="no style 'punk'; wanted one of neutral, calm"):
        named_style("punk")


# -- the network's vector ----------------------------------------------------------------------


def test_places_of_the_vector() -> None:
    style = STYLES["warm"]
    controls = Controls(
        "anger", intensity=0.5, gaze=(10.0, -4.0), style=style, valence=-0.8, arousal=0.6
    )
    vector = controls.vector().tolist()
    assert len(vector) == CONTROL_DIM == 29
    assert vector[:8] == [0, 0, 0, 0.5, 0, 0, 0, 0]
    assert vector[8:13] == pytest.approx([0.5, -0.2, 1, -0.4, 0.3])
    assert vector[13:] == pytest.approx([*style, 1])
    # Nobody's style in particular is that of the median talker.
    assert Controls().vector()[[0, -1]].tolist() == [1, 1] and not Controls().vector()[1:-1].any()
    # In a conversation it is calmer, unless a style was asked for.
    assert Controls().vector(True)[13:-1].tolist() == pytest.approx(CONVERSING)
    assert torch.equal(controls.vector(True), controls.vector())
    assert gains(np.array(CONVERSING))[YAW] < 0.6


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_class_has_its_own_valence_and_arousal(emotion: str) -> None:
    wanted = torch.tensor(VALENCE_AROUSAL[emotion])
    assert torch.allclose(Controls(emotion).vector()[11:13], wanted)
    assert torch.allclose(
        Controls(emotion, arousal=-1.0).vector()[11:13],
        wanted * 0 + torch.tensor([wanted[0], -1.0]),
    )
    assert Controls(emotion, intensity=2.0).vector()[11:13].abs().max() <= 1


# -- what an emotion does ----------------------------------------------------------------------


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_emotion_grows_with_intensity_and_spares_the_head(emotion: str) -> None:
    still = np.zeros((1, MOTION_DIM), np.float32)
    half, full = (Controls(emotion, intensity=i).apply(still) for i in (0.5, 1.0))
    assert np.allclose(2 * half, full)
    assert full.max() >= 0.3
    assert not full[:, ROTATION].any()
    assert full[0, EXPRESSION_NAMES.index("jawOpen")] < 0.05


def test_affect_is_a_blend_on_the_circle() -> None:
    smile, brow, lid = (channel_index(n) for n in ("mouthSmileLeft", "browInnerUp", "eyeBlinkLeft"))
    assert not affect_offset(0.0, 0.0).any()
    assert affect_offset(1.0, 0.0)[smile] > 0.3 and affect_offset(-1.0, 0.0)[smile] == 0
    assert affect_offset(0.0, 1.0)[channel_index("eyeWideLeft")] > 0.3
    assert affect_offset(0.0, -1.0)[lid] > 0.25 and affect_offset(0.0, 1.0)[lid] == 0
    assert affect_offset(-0.7, -0.7)[channel_index("mouthFrownLeft")] > 0.3
    assert affect_offset(-0.7, 0.7)[brow] > 0.2
    # Half way between two neighbours at their chord: half of each.
    chord = (1 + np.sqrt(0.5)) / 2, np.sqrt(0.5) / 2
    ends = affect_offset(1.0, 0.0) + affect_offset(np.sqrt(0.5), np.sqrt(0.5))
    assert np.allclose(affect_offset(*chord), ends / 2, atol=1e-6)
    assert np.allclose(2 * affect_offset(0.3, 0.2), affect_offset(0.6, 0.4), atol=1e-6)


def test_affect_has_no_jumps() -> None:
    grid = np.linspace(-1, 1, 41).tolist()
    plane = np.array([[affect_offset(v, a) for v in grid] for a in grid])
    assert np.abs(np.diff(plane, axis=0)).max() < 0.1
    assert np.abs(np.diff(plane, axis=1)).max() < 0.1
    ring = [affect_offset(np.cos(t), np.sin(t)) for t in np.linspace(0, 2 * np.pi, 361).tolist()]
    assert np.abs(np.diff(ring, axis=0)).max() < 0.02


def test_given_affect_moves_on_from_the_class() -> None:
    still = np.zeros((1, MOTION_DIM), np.float32)
    anger = Controls("anger").apply(still)
    valence, arousal = VALENCE_AROUSAL["anger"]
    own = Controls("anger", valence=valence, arousal=arousal)
    assert np.allclose(own.apply(still), anger)
    gentle = Controls("anger", valence=0.5).apply(still)
    assert gentle[0, channel_index("mouthSmileLeft")] > anger[0, channel_index("mouthSmileLeft")]
    assert gentle.min() >= 0
    plain = Controls(valence=0.6, arousal=-0.2).apply(still)
    assert np.allclose(plain[0], affect_offset(0.6, -0.2))
    assert np.allclose(anger[0], class_offset("anger"))


# -- expressivity by hand ----------------------------------------------------------------------


def test_expressivity_scales_all_but_lips_and_lids() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (4, MOTION_DIM)).astype(np.float32)
    sizes = [
        np.abs(Controls(expressivity=e).apply(values)[:, EXPRESSIVE]).sum() for e in (0.0, 1.0, 2.0)
    ]
    assert sizes[0] == 0 < sizes[1] < sizes[2]
    kept = [i for i in range(MOTION_DIM) if i not in EXPRESSIVE]
    still = Controls("anger", expressivity=0.0).apply(values)
    assert np.array_equal(still[:, kept], values[:, kept]), "lips are the same with an emotion"
    assert set(BLINK_CHANNELS) <= set(kept)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_moves_alone(region: str) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (4, MOTION_DIM)).astype(np.float32)
    changed = Controls(regions=Regions(**{region: 0.0})).apply(values) != values
    wanted = set(REGION_CHANNELS[region]) & set(EXPRESSIVE)
    assert set(np.flatnonzero(changed.any(0)).tolist()) == wanted and wanted
    other = Controls(expressivity=0.0, regions=Regions(**{region: 1.0})).apply(values)
    assert np.array_equal(other[:, sorted(wanted)], values[:, sorted(wanted)])
    assert not other[:, sorted(set(EXPRESSIVE) - wanted)].any()


def test_regions_cover_the_expressive_channels_once() -> None:
    channels = [c for region in REGION_CHANNELS.values() for c in region]
    assert len(channels) == len(set(channels)) and set(EXPRESSIVE) <= set(channels)
    assert [*range(ROTATION.start, TRANSLATION.stop)] == HEAD


def test_gestures_grow_with_the_root_of_expressivity() -> None:
    nod = (Gesture.at("nod", 0.0),)
    full = Controls(gestures=nod).gesture_offsets(0, 25)
    quarter = Controls(gestures=nod, expressivity=0.25).gesture_offsets(0, 25)
    assert np.allclose(quarter[:, HEAD], 0.5 * full[:, HEAD], atol=1e-6)
    still = Controls(gestures=nod, regions=Regions(head=0.0)).gesture_offsets(0, 25)
    assert not still.any(), "eyes do not turn against a head that is still"
    blind = Controls(gestures=nod, regions=Regions(eyes=0.0)).gesture_offsets(0, 25)
    assert np.array_equal(blind[:, HEAD], full[:, HEAD]) and not blind[:, :52].any()


def test_at_nothing_a_blink_stays_and_a_wink_does_not() -> None:
    lids = list(BLINK_CHANNELS)
    for kind, peak in (("blink", 0.9), ("wink", 0.0)):
        gestures = (Gesture.at(kind, 0.0),)
        out = Controls(expressivity=0.0, gestures=gestures).gesture_offsets(0, 15)
        assert out[:, lids].max() >= peak and (peak or not out.any())
        assert Controls(gestures=gestures).gesture_offsets(0, 15)[:, lids].max() > 0.9


# -- the real generator ------------------------------------------------------------------------

WEIGHTS = pytest.mark.weights("speech_encoder", "motion_generator")


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    return MotionGenerator.load()


@pytest.fixture(scope="module")
def dyad() -> Dyad:
    said = synthesize("We got lost in the fog, and suddenly, there was the lake.").samples
    pause = np.zeros(32_000, np.float32)
    other = synthesize("Well, that sounds like quite an adventure to me.", "en-gb+f3").samples
    agent = np.concatenate([said, pause, np.zeros_like(other)])
    return Dyad(Waveform(agent), Waveform(np.concatenate([np.zeros_like(said), pause, other])))


@pytest.fixture(scope="module")
def brief(dyad: Dyad) -> Dyad:
    """Four seconds: the agent is interrupted after 2.2 s."""
    assert dyad.interlocutor is not None
    other = dyad.interlocutor.samples
    agent = np.concatenate([dyad.agent.samples[:35_200], np.zeros(28_800, np.float32)])
    start = int(np.argmax(np.abs(other) > 0))
    other = np.concatenate([np.zeros(35_200, np.float32), other[start : start + 28_800]])
    return Dyad(Waveform(agent), Waveform(other))


@pytest.fixture(scope="module")
def plain(generator: MotionGenerator, brief: Dyad) -> Motion:
    """What it makes of them when nobody asks for anything."""
    return generator.generate(brief, seed=3)


def energy(motion: Motion, channels: list[int]) -> float:
    """Mean squared change a frame."""
    return float(np.square(np.diff(motion.values[:, channels], axis=0)).mean())


@pytest.mark.slow
@WEIGHTS
def test_motion_energy_is_monotone_in_expressivity(generator: MotionGenerator, dyad: Dyad) -> None:
    made = [
        generator.generate(dyad, seed=3, controls=Controls(expressivity=e))
        for e in (0.0, 0.5, 1.0, 2.0)
    ]
    for region, channels in REGION_CHANNELS.items():
        moving = sorted(set(channels) & set(EXPRESSIVE))
        sizes = [energy(motion, moving) for motion in made]
        assert sizes[0] == 0 and all(np.diff(sizes) > 0), region
    kept = [i for i in (*SPEECH_CHANNELS, *BLINK_CHANNELS) if i < DETAIL.start]
    along = smile_detail() / np.linalg.norm(smile_detail())
    for motion in made:
        assert np.array_equal(motion.values[:, kept], made[0].values[:, kept])
        wider = motion.values[:, DETAIL] - made[0].values[:, DETAIL]  # smiles have their detail
        assert np.allclose(wider, (wider @ along)[:, None] * along, atol=1e-5)
    assert made[0].channel("jawOpen").std() > 0.02 and made[0].channel("eyeBlinkLeft").max() > 0.5


@WEIGHTS
def test_one_region_of_the_real_thing(
    generator: MotionGenerator, brief: Dyad, plain: Motion
) -> None:
    made = generator.generate(brief, seed=3, controls=Controls(regions=Regions(head=0.0)))
    assert not made.values[:, HEAD].any()
    rest = [i for i in range(MOTION_DIM) if i not in HEAD]
    assert np.array_equal(made.values[:, rest], plain.values[:, rest])


@pytest.mark.slow
@WEIGHTS
def test_a_placed_gesture_is_seen_on_its_frame(
    generator: MotionGenerator, brief: Dyad, plain: Motion
) -> None:
    # The nod begins at frame 30 and is at its lowest 6 frames later.
    nod = (Gesture.at("nod", 1.2, 0.5),)
    made = generator.generate(brief, seed=3, controls=Controls(gestures=nod))
    added = np.degrees(made.values[:, PITCH] - plain.values[:, PITCH])
    assert not added[:24].any() and np.abs(added[:31]).max() < 2.0
    assert int(np.argmax(added)) in (36, 37) and added.max() > 5
    assert np.abs(np.diff(made.rotation, axis=0)).max() < np.radians(4)
    low = generator.generate(brief, seed=3, controls=Controls(gestures=nod, expressivity=0.1))
    assert np.degrees(np.ptp(low.values[30:43, PITCH])) > 1.5


@WEIGHTS
@pytest.mark.parametrize("expressivity", [1.0, 2.0])
def test_gaze_arrives_and_a_look_away_leaves_it(
    generator: MotionGenerator, brief: Dyad, expressivity: float
) -> None:
    gestures = (Gesture.at("look-away", 2.0, 1.0, aim=(-15.0, 0.0)),)
    motion = generator.generate(
        brief, controls=Controls(gaze=(10.0, -6.0), gestures=gestures, expressivity=expressivity)
    )
    out, into, down, up = (
        EYE_TURN_DEGREES * motion.channel(f"eyeLook{n}Left") for n in ("Out", "In", "Down", "Up")
    )
    # The eyes make up for the turn of the head, as far as they turn.
    pitch, yaw, _ = np.degrees(motion.rotation).T
    right, down = out - into + yaw, down - up + pitch
    away = slice(55, 68)
    reached = np.minimum(10, yaw + EYE_TURN_DEGREES)
    assert np.abs(right - reached)[15:50].max() < 2 and np.abs(down[15:50] - 6).max() < 2
    assert np.abs(right[away] + 15).max() < 2
    assert abs((right - reached)[80:].mean()) < 0.5 and np.median(reached) > 9


@pytest.mark.slow
@WEIGHTS
def test_gestures_do_not_depend_on_the_cut(generator: MotionGenerator, dyad: Dyad) -> None:
    controls = Controls(
        "happiness",
        valence=0.2,
        regions=Regions(brows=1.5),
        gestures=tuple(
            Gesture.at(kind, 0.13 + 0.5 * i)
            for i, kind in enumerate(("nod", "wink", "look-away", "blink", "shake", "frown"))
        ),
    )
    whole = generator.generate(dyad, seed=5, controls=controls)
    state = generator.init_state(5, controls)
    parts = []
    for piece in dyad.chunks(3):
        state, out = generator.step(state, piece)
        parts.append(out)
    parts.append(generator.flush(state)[1])
    assert np.array_equal(Motion.concat(parts).values, whole.values)


@WEIGHTS
def test_a_gesture_can_be_added_to_a_running_stream(
    generator: MotionGenerator, brief: Dyad
) -> None:
    late = Controls(gestures=(Gesture.at("brow-raise", 3.0),))
    known = generator.generate(brief, controls=late)
    state, parts = generator.init_state(0), []
    for piece in brief.chunks(5):
        if state.received == 32_000:
            state = replace(state, controls=late)
        state, out = generator.step(state, piece)
        parts.append(out)
    parts.append(generator.flush(state)[1])
    assert np.array_equal(Motion.concat(parts).values, known.values)
