"""The generator's laws, on a small untrained network; and the embedded one on real speech."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audio2motion.behaviour.events import BLINK_CHANNELS, SMILE_CHANNELS
from audio2motion.gestures.controls import Controls
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.chunks import (
    FASTEST_HEAD,
    FASTEST_SMILE,
    STILL,
    Aimed,
    finish,
    slowed,
    smile_detail,
)
from audio2motion.network.condition import CHUNK
from audio2motion.network.gate import SPEECH_CHANNELS, listening, mouth_gate, silence
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.network.state_codec import encode
from audio2motion.network.stream import GeneratorState
from audio2motion.voice.synthesis import synthesize, synthesize_phonemes
from motion2video.geometry.basis import FaceBasis
from motion2video.motion import (
    DETAIL,
    EYE_TURN_DEGREES,
    MOTION_DIM,
    ROTATION,
    Motion,
    channel_index,
)
from tests.audio2motion.small import small_encoder, small_network
from weights.errors import InputError, MotionError, StateError, WeightsError
from weights.tensors import save_safetensors


@pytest.fixture(scope="module")
def generator() -> MotionGenerator:
    torch.manual_seed(0)
    return MotionGenerator(small_encoder(), small_network(noise=0.1), GeneratorConfig())


def in_turn(question: str, answer: str) -> Dyad:
    """The agent says one thing, then the interlocutor the other."""
    said, answered = synthesize(question).samples, synthesize(answer, "en-gb+f3").samples
    agent = np.concatenate([said, np.zeros(len(answered), np.float32)])
    other = np.concatenate([np.zeros(len(said), np.float32), answered])
    return Dyad(Waveform(agent), Waveform(other))


@pytest.fixture(scope="module")
def dyad() -> Dyad:
    """More than twice as long as the small network remembers."""
    return in_turn("Hello, my name is Bob.", "Very well.")


def cut(dyad: Dyad, piece: slice) -> Dyad:
    assert dyad.interlocutor is not None
    return Dyad(Waveform(dyad.agent.samples[piece]), Waveform(dyad.interlocutor.samples[piece]))


def seen(frames: int, seed: int = 0) -> Motion:
    values = np.random.default_rng(seed).uniform(0, 0.3, (frames, MOTION_DIM))
    return Motion(values.astype(np.float32))


def run_in_pieces(
    generator: MotionGenerator, dyad: Dyad, sizes: list[int], motion: Motion | None = None
) -> Motion:
    state = generator.init_state(seed=7)
    parts, at = [], 0
    pieces = iter(sizes)
    assert dyad.interlocutor is not None
    while at < len(dyad.agent):
        end = at + next(pieces)
        piece = Dyad(
            Waveform(dyad.agent.samples[at:end]), Waveform(dyad.interlocutor.samples[at:end])
        )
        state, out = generator.step(state, piece, motion)
        motion = None
        parts.append(out)
        at = end
    _, out = generator.flush(state)
    return Motion.concat([*parts, out])


def test_any_cut_gives_the_same_bits(generator: MotionGenerator, dyad: Dyad) -> None:
    whole = generator.generate(dyad, seen(dyad.frames), seed=7)
    rng = np.random.default_rng(1)
    sizes = rng.choice([1, 100, 640, 3199, 3201, 9000], 100_000).tolist()
    cut = run_in_pieces(generator, dyad, sizes, seen(dyad.frames))
    assert np.array_equal(whole.values, cut.values)


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 3200, 3201, 6400, 12345])
def test_as_many_frames_come_out_as_go_in(generator: MotionGenerator, samples: int) -> None:
    dyad = Dyad(Waveform(np.full(samples, 0.01, np.float32)))
    assert len(generator.generate(dyad)) == dyad.frames


def test_silence_is_known_after_seconds_and_over_at_once() -> None:
    levels, level = silence(np.zeros(50, np.float32), 0.0)
    assert level == pytest.approx(0.5) and np.all(np.diff(levels) > 0)
    assert silence(np.zeros(100, np.float32), 0.0)[1] == 1
    assert silence(np.ones(10, np.float32), 1.0)[1] == pytest.approx(0)


def test_whoever_is_silent_for_long_does_not_end_up_aside(generator: MotionGenerator) -> None:
    quiet = Waveform(np.zeros(20 * SAMPLE_RATE, np.float32))
    for dyad in (Dyad(quiet), Dyad(quiet, quiet)):
        head = np.degrees(generator.generate(dyad, seed=4).values[-250:, ROTATION])
        assert np.abs(head).max() < 8
        assert head.std(0).max() > 0.1, "nor frozen"


def test_later_sound_never_changes_a_frame(generator: MotionGenerator, dyad: Dyad) -> None:
    frame = 37
    assert dyad.interlocutor is not None
    agent, other = dyad.agent.samples.copy(), dyad.interlocutor.samples.copy()
    agent[(frame + generator.delay_frames + 1) * SAMPLES_PER_FRAME :] = 0.2
    other[(frame + CHUNK) * SAMPLES_PER_FRAME :] = -0.2
    before = generator.generate(dyad, seen(dyad.frames))
    motion = seen(dyad.frames)
    changed = motion.values.copy()
    changed[frame + CHUNK :] = 0
    after = generator.generate(Dyad(Waveform(agent), Waveform(other)), Motion(changed))
    assert np.array_equal(before.values[: frame + 1], after.values[: frame + 1])
    assert not np.array_equal(before.values[frame + 1 :], after.values[frame + 1 :])


def test_same_seed_same_bits_and_another_seed_others(
    generator: MotionGenerator, dyad: Dyad
) -> None:
    one, two, three = (generator.generate(dyad, seed=s).values for s in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_used_state_raises(generator: MotionGenerator, dyad: Dyad) -> None:
    first = generator.init_state()
    piece = next(dyad.chunks(5))
    second, _ = generator.step(first, piece)
    with pytest.raises(StateError, match="used already"):
        generator.step(first, piece)
    third, _ = generator.flush(second)
    for state in (second, third):
        with pytest.raises(StateError):
            generator.flush(state)
    other, _ = generator.step(generator.init_state(), piece)
    assert other.serial == 1


def test_a_saved_state_goes_on_with_the_same_bits(generator: MotionGenerator, dyad: Dyad) -> None:
    state, _ = generator.step(
        generator.init_state(3, Controls(gaze=(4.0, 0.0))), cut(dyad, slice(17_777))
    )
    data = generator.save(state)
    _, ahead = generator.step(state, cut(dyad, slice(17_777, None)))
    for _ in range(2):  # the bytes can be used again, the state cannot
        _, again = generator.step(generator.restore(data), cut(dyad, slice(17_777, None)))
        assert np.array_equal(again.values, ahead.values)
    with pytest.raises(StateError, match="used already"):
        generator.save(state)
    for foreign in (b"", data[:-5], encode(generator.init_state()), encode((1, 2))):
        with pytest.raises(StateError):
            generator.restore(foreign)


@pytest.mark.slow
@pytest.mark.weights("motion_generator", "speech_encoder")
def test_a_state_goes_on_in_another_process(
    embedded: MotionGenerator, dyad: Dyad, tmp_path: Path
) -> None:
    assert dyad.interlocutor is not None
    voices = [dyad.agent.samples, dyad.interlocutor.samples]
    np.save(tmp_path / "voices.npy", np.stack(voices)[:, 21_000:])
    state, _ = embedded.step(embedded.init_state(5), cut(dyad, slice(21_000)))
    (tmp_path / "state.safetensors").write_bytes(embedded.save(state))
    _, ahead = embedded.step(state, cut(dyad, slice(21_000, None)))
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from audio2motion.hearing.audio import Dyad, Waveform\n"
        "from audio2motion.network.generator import MotionGenerator\n"
        "folder, generator = Path(sys.argv[1]), MotionGenerator.load()\n"
        "state = generator.restore((folder / 'state.safetensors').read_bytes())\n"
        "voices = [Waveform(v) for v in np.load(folder / 'voices.npy')]\n"
        "_, motion = generator.step(state, Dyad(*voices))\n"
        "np.save(folder / 'motion.npy', motion.values)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert np.abs(np.load(tmp_path / "motion.npy") - ahead.values).max() < 1e-5


def test_streams_do_not_disturb_each_other(generator: MotionGenerator, dyad: Dyad) -> None:
    alone = run_in_pieces(generator, dyad, [3200] * 1000)
    states = [generator.init_state(seed=7), generator.init_state(seed=8)]
    parts = []
    for piece in dyad.chunks(5):
        for i in range(2):
            states[i], out = generator.step(states[i], piece)
            if i == 0:
                parts.append(out)
    parts.append(generator.flush(states[0])[1])
    assert np.array_equal(alone.values, Motion.concat(parts).values)


def test_state_does_not_grow(generator: MotionGenerator) -> None:
    def size(state: GeneratorState) -> int:
        arrays = [state.rest_agent, state.rest_interlocutor, state.motion_values]
        voices = [t for v in (state.agent, state.interlocutor) for t in (v.overlap, *v.past)]
        return (
            sum(a.size for a in arrays)
            + sum(t.numel() for t in voices)
            + sum(v.activity.buffer.size for v in (state.agent, state.interlocutor))
            + state.cache.keys.numel()
        )

    state = generator.init_state()
    sizes = []
    for index in range(40):
        piece = Dyad(Waveform(np.full(3200, 0.01, np.float32)))
        state, _ = generator.step(state, piece, seen(5, index))
        sizes.append(size(state))
    assert max(sizes[10:]) <= max(sizes[:10])


def test_absent_interlocutor_is_not_a_silent_one(generator: MotionGenerator, dyad: Dyad) -> None:
    silent = Waveform(np.zeros(len(dyad.agent), np.float32))
    absent = generator.generate(replace(dyad, interlocutor=None))
    assert not np.array_equal(absent.values, generator.generate(Dyad(dyad.agent, silent)).values)


def test_lost_frames_of_the_interlocutor_do_not_count(
    generator: MotionGenerator, dyad: Dyad
) -> None:
    motion = seen(dyad.frames)
    lost = np.ones(dyad.frames, bool)
    lost[10:40] = False
    other = motion.values.copy()
    other[10:40] = 0.9
    one = generator.generate(dyad, Motion(motion.values, valid=lost))
    two = generator.generate(dyad, Motion(other, valid=lost))
    assert np.array_equal(one.values, two.values)


def test_rate_of_the_interlocutors_motion(generator: MotionGenerator, dyad: Dyad) -> None:
    fast = Motion(seen(60).values, fps=50.0)
    assert len(generator.generate(dyad, fast)) == dyad.frames
    with pytest.raises(MotionError, match="fps"):
        generator.step(generator.init_state(), dyad, fast)


def test_guidance_of_one_is_the_plain_model(generator: MotionGenerator, dyad: Dyad) -> None:
    plain = generator.generate(dyad)
    config = GeneratorConfig(agent_scale=3.0)
    guided = MotionGenerator(generator.encoder, generator.network, config).generate(dyad)
    assert not np.allclose(plain.values, guided.values, atol=1e-3)
    with pytest.raises(InputError, match="solver"):
        GeneratorConfig(solver="magic")


def test_lips_have_a_guidance_of_their_own(generator: MotionGenerator) -> None:
    """It moves them and nothing else, within a chunk that has no past."""
    noise = np.random.default_rng(0).normal(size=5 * SAMPLES_PER_FRAME).astype(np.float32) * 0.2
    config = GeneratorConfig(steps=1, lip_agent_scale=3.0, lip_scale=0.5)
    plain = MotionGenerator(
        generator.encoder, generator.network, replace(config, lip_agent_scale=1.0)
    )
    guided = MotionGenerator(generator.encoder, generator.network, config)
    pair = [one.generate(Dyad(Waveform(noise))).values for one in (plain, guided)]
    rest = np.setdiff1d(np.arange(MOTION_DIM), SPEECH_CHANNELS)
    assert np.allclose(pair[0][:, rest], pair[1][:, rest], atol=1e-5)
    assert config.scales[0, list(SPEECH_CHANNELS)].tolist() == [3.0] * len(SPEECH_CHANNELS)
    assert not np.allclose(guided.config.scales, plain.config.scales)


def test_eyes_go_where_they_are_sent_and_come_back(generator: MotionGenerator, dyad: Dyad) -> None:
    sent = generator.generate(dyad, controls=Controls(gaze=(12.0, 0.0)))
    right = [channel_index("eyeLookOutLeft"), channel_index("eyeLookInRight")]
    left = [channel_index("eyeLookInLeft"), channel_index("eyeLookOutRight")]
    looks = (sent.values[:, right] - sent.values[:, left]).mean(1) * EYE_TURN_DEGREES
    yaw = np.degrees(sent.rotation[:, 1])
    assert np.allclose((looks + yaw)[8:], 12.0, atol=0.5)
    row, aimed = np.zeros(MOTION_DIM, np.float32), Aimed(1.0, (12.0, 0.0))
    values = row[None]
    for _ in range(6):
        row[:] = 0
        values, aimed = finish(row[None].repeat(5, 0), Controls(), 0, aimed)
    assert aimed.share == 0 and not values[:, right].any()


def test_a_generator_refuses_ears_that_it_was_not_trained_with(
    generator: MotionGenerator, tmp_path: Path
) -> None:
    state = {name: value.numpy() for name, value in generator.network.state_dict().items()}
    header = {"model": asdict(generator.network.config), "hears_by": "0" * 64}
    save_safetensors(tmp_path / "other.safetensors", state, header)
    with pytest.raises(WeightsError, match="not trained together"):
        MotionGenerator.load(weights=tmp_path / "other.safetensors")
    ears = generator.encoder
    loaded = MotionGenerator.load(encoder=ears, weights=tmp_path / "other.safetensors")
    assert loaded.encoder is ears


def test_who_was_heard_last_says_who_listens() -> None:
    levels, level = listening(np.zeros(5), np.ones(5), 0.0)
    assert (np.diff(levels) > 0).all() and level < 1
    for _ in range(30):
        _, level = listening(np.zeros(5), np.ones(5), level)
    assert level > 0.99
    assert listening(np.zeros(5), np.zeros(5), level)[1] == level
    assert listening(np.ones(5), np.ones(5), level)[1] < level


def test_gate_opens_before_speech_and_closes_after() -> None:
    activity = np.zeros(40, np.float32)
    activity[10:20] = 1
    gates, gate = [], 0.0
    for start in range(0, 35, 5):
        part, gate = mouth_gate(activity[start : start + 10], gate)
        gates.extend(part.tolist())
    assert gates[7] == 0
    assert 0 < gates[8] < gates[9] < gates[10] == 1
    assert gates[19] == 1
    assert np.allclose(gates[20:30], np.arange(9, -1, -1) / 10, atol=1e-6)


def test_still_face_keeps_lips_and_blinks(generator: MotionGenerator, dyad: Dyad) -> None:
    plain = generator.generate(dyad)
    still = generator.generate(dyad, controls=Controls(expressivity=0.0))
    assert not still.rotation.any()
    kept = [*SPEECH_CHANNELS, *BLINK_CHANNELS]
    assert np.array_equal(plain.values[:, kept], still.values[:, kept])


@pytest.fixture(scope="module")
def embedded() -> MotionGenerator:
    return MotionGenerator.load()


@pytest.mark.weights("speech_encoder", "motion_generator")
def test_mouth_moves_with_the_voice_and_rests_without(embedded: MotionGenerator) -> None:
    dyad = in_turn("Hello, my name is Bob. How are you?", "I am very well, thank you so much.")
    motion = embedded.generate(dyad)
    turn = int(np.flatnonzero(dyad.agent.samples)[-1]) // SAMPLES_PER_FRAME
    jaw = motion.channel("jawOpen")
    assert jaw[5 : turn - 5].std() > 0.02
    rest = motion.values[turn + 15 :].copy()
    rest[:, DETAIL] -= rest[:, SMILE_CHANNELS].clip(0, 1).mean(1)[:, None] * smile_detail()
    assert np.abs(rest[:, SPEECH_CHANNELS]).max() < 0.02, "but for what belongs to a smile"
    assert np.degrees(motion.rotation).std(0).max() > 0.3
    assert np.abs(np.diff(motion.values[:, ROTATION], axis=0)).max() < np.radians(6)


def test_smiles_come_and_go_no_faster_than_peoples() -> None:
    values = np.zeros((5, MOTION_DIM), np.float32)
    values[1:, list(SMILE_CHANNELS)] = 0.9
    assert slowed(values, (0.0, 0.4, *STILL[2:])) == pytest.approx((0.9, 0.9, *STILL[2:]))
    left, right = values[:, list(SMILE_CHANNELS)].T
    assert np.allclose(left, [0, FASTEST_SMILE, 2 * FASTEST_SMILE, 3 * FASTEST_SMILE, 0.9])
    assert np.allclose(right[:2], [0.4 - FASTEST_SMILE, 0.4])


def test_heads_turn_no_faster_than_peoples_and_get_where_they_go() -> None:
    values = np.zeros((5, MOTION_DIM), np.float32)
    values[1:, ROTATION] = np.radians([6.0, 1.0, -12.0])
    ends = slowed(values, STILL)
    fastest = np.abs(np.diff(np.degrees(values[:, ROTATION]), axis=0)).max(0)
    assert np.allclose(fastest, [FASTEST_HEAD[0], 1.0, FASTEST_HEAD[2]], atol=1e-3)
    assert np.allclose(np.degrees(ends[2:]), [6.0, 1.0, -4 * FASTEST_HEAD[2]], atol=1e-3)
    back = np.zeros((5, MOTION_DIM), np.float32)
    slowed(back, ends)
    roll = np.degrees(back[:, ROTATION.stop - 1])
    assert np.allclose(roll, [-3 * FASTEST_HEAD[2], -2 * FASTEST_HEAD[2], -FASTEST_HEAD[2], 0, 0])


@pytest.mark.weights("speech_encoder", "motion_generator", "face_basis")
def test_lips_come_together_for_p_b_m(embedded: MotionGenerator) -> None:
    """Within 80 ms of the sound for 8 of 10, and more tightly than around open vowels."""
    basis = FaceBasis.load()
    closed, opened, narrow, wide = [], [], [], []
    for text in (
        "Hello Bob, my name is Emma.",
        "I promise, imagine a map of a moon.",
        "A big apple.",
        "What a lot of cars are parked in the yard at Harvard.",
    ):
        sound, phonemes = synthesize_phonemes(text)
        gap = basis.offsets(embedded.generate(Dyad(sound)).values)[:, [13, 14], 1] @ [1.0, -1.0]
        shut = 0.25 * np.quantile(gap, 0.9)
        for phoneme in phonemes:
            first, last = round(phoneme.start * 25), round(phoneme.end * 25)
            if phoneme.ipa[0] in "pbm":
                closed.append(gap[max(0, first - 2) : last + 3].min() < shut)
                narrow.append(gap[first : last + 1].min())
            elif phoneme.ipa[0] in "aæɑɐʌ":
                opened.append(gap[first : last + 1].max() > shut)
                wide.append(gap[first : last + 1].max())
    assert np.mean(closed) >= 0.8
    assert np.mean(opened) >= 0.6
    assert np.mean(narrow) < 0.4 * np.mean(wide)


def test_guidance_by_who_is_not_there_changes_nothing(
    generator: MotionGenerator, dyad: Dyad
) -> None:
    config = replace(generator.config, interlocutor_scale=3.0, interlocutor_motion_scale=3.0)
    guided = MotionGenerator(generator.encoder, generator.network, config)
    plain = MotionGenerator(
        generator.encoder, generator.network, replace(config, interlocutor_scale=1.0)
    )
    alone = Dyad(dyad.agent)
    assert np.array_equal(guided.generate(alone).values, plain.generate(alone).values)
    assert not np.allclose(guided.generate(dyad).values, plain.generate(dyad).values)


def test_a_smile_that_is_asked_for_has_its_detail_and_the_networks_own_is_left() -> None:
    smiling = np.zeros((5, MOTION_DIM), np.float32)
    smiling[:, list(SMILE_CHANNELS)] = 0.4
    aimed = Aimed(0.0, (0.0, 0.0))
    own, _ = finish(smiling.copy(), Controls(), 0, aimed)
    assert not own[:, DETAIL].any()
    asked, _ = finish(smiling.copy(), Controls("happiness"), 0, aimed)
    more = asked[0, SMILE_CHANNELS[0]] - 0.4
    assert more > 0.3 and np.allclose(asked[:, DETAIL], more * smile_detail(), atol=1e-5)


def test_who_listens_smiles_with_the_whole_mouth(generator: MotionGenerator) -> None:
    quiet = Dyad(Waveform(np.zeros(50 * SAMPLES_PER_FRAME, np.float32)))
    smiling = np.zeros((50, MOTION_DIM), np.float32)
    smiling[15:, list(SMILE_CHANNELS)] = 0.8
    values = generator.generate(quiet, Motion(smiling)).values
    smile = values[:, list(SMILE_CHANNELS)].mean(1)
    assert smile[30:].mean() > 0.1
    assert np.allclose(values[:, DETAIL], smile[:, None] * smile_detail(), atol=1e-3)


def test_the_detail_of_a_smile_takes_corners_farther_and_leaves_the_lips_together() -> None:
    basis = FaceBasis.load()
    moved = np.tensordot(smile_detail(), basis.detail, 1)
    assert moved[291, 0] > 0.01 and moved[61, 0] < -0.01
    assert abs(moved[13, 1] - moved[14, 1]) < 0.002
    assert abs(moved[291, 1] - moved[61, 1]) < 0.005
