"""Borrowed speech encoders, with tiny untrained models: the laws of streams, maps, errors."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers.utils.logging

import audio2motion.network.borrowed_speech as borrowed_speech
from audio2motion.hearing.audio import SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.hearing.speech import SpeechEncoder
from audio2motion.network.borrowed_speech import BorrowedEncoder, SpeechModel, borrow, map_for
from audio2motion.network.generator import GeneratorConfig, MotionGenerator
from audio2motion.network.speech_map import SpeechMap, fit_map, practice_speech
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import Motion
from tests.audio2motion.small import small_encoder, small_network
from weights import cache_dir, read_safetensors
from weights.errors import DependencyError, InputError, StateError, WeightsError
from weights.installation import how_to_add

KINDS = ("whisper", "hubert", "wav2vec2")


def whisper() -> "transformers.PreTrainedModel":
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        num_mel_bins=20,
        vocab_size=30,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    return transformers.WhisperForConditionalGeneration(config)


def of_waveforms(kind: str, **changes: object) -> "transformers.PreTrainedModel":
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "conv_dim": (8,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    }
    config = transformers.AutoConfig.for_model(kind, **{**sizes, **changes})
    return transformers.AutoModel.from_config(config)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of every kind, as a user has it."""
    torch.manual_seed(0)
    models = {kind: whisper() if kind == "whisper" else of_waveforms(kind) for kind in KINDS}
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("models")
    for kind, model in models.items():
        model.save_pretrained(folder / kind)
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(scope="module")
def embedded() -> SpeechEncoder:
    torch.manual_seed(0)
    return small_encoder()


@pytest.fixture(scope="module")
def short_practice() -> Callable[[], list[list[np.ndarray]]]:
    """A few seconds of every part of the practice speech."""
    groups = [[group[0][: 125 * SAMPLES_PER_FRAME]] for group in practice_speech()]
    return lambda: groups


@pytest.fixture(autouse=True)
def surroundings(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    embedded: SpeechEncoder,
    short_practice: Callable[[], list[list[np.ndarray]]],
) -> None:
    """A cache of its own, little to practise on, and a small encoder for the embedded one."""
    monkeypatch.setenv("VISAVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(borrowed_speech, "practice_speech", short_practice)
    monkeypatch.setattr(SpeechEncoder, "load", staticmethod(lambda device="cpu": embedded))


@pytest.fixture(scope="module", params=KINDS)
def encoder(
    request: pytest.FixtureRequest, folders: dict[str, Path], embedded: SpeechEncoder
) -> BorrowedEncoder:
    model = SpeechModel.load(request.param, folders[request.param])
    noise = np.random.default_rng(0)
    weight = noise.normal(0, 0.3, (16 * borrowed_speech.CONTEXT, 8)).astype(np.float32)
    fitted = SpeechMap(weight, np.zeros(8, np.float32), 0.0)
    return BorrowedEncoder(model, fitted, embedded.front).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def dyad() -> Dyad:
    said = synthesize("Bob may pay a penny for a map.").samples
    return Dyad(Waveform(said), Waveform(said[::-1].copy()))


def generator_of(encoder: BorrowedEncoder) -> MotionGenerator:
    torch.manual_seed(1)
    return MotionGenerator(encoder, small_network(1, noise=0.1), GeneratorConfig(steps=1))


def part(dyad: Dyad, start: int, end: int | None = None) -> Dyad:
    assert dyad.interlocutor is not None
    other = dyad.interlocutor.samples[start:end]
    return Dyad(Waveform(dyad.agent.samples[start:end]), Waveform(other))


def test_any_cut_gives_the_same_bits_and_states_can_be_saved(
    encoder: BorrowedEncoder, dyad: Dyad
) -> None:
    generator = generator_of(encoder)
    whole = generator.generate(dyad).values
    state, parts, at = generator.init_state(), [], 0
    for size in (1, 639, 9000, 3200, 4001):
        state, motion = generator.step(state, part(dyad, at, at + size))
        state = generator.restore(generator.save(state))
        parts.append(motion)
        at += size
    state, motion = generator.step(state, part(dyad, at))
    parts += [motion, generator.flush(state)[1]]
    assert np.array_equal(Motion.concat(parts).values, whole)
    assert not np.array_equal(generator.generate(part(dyad, 4000)).values, whole[6:])


def test_a_state_belongs_to_its_model(folders: dict[str, Path]) -> None:
    one, other = (generator_of(borrow(f"{k}:{folders[k]}")) for k in ("hubert", "wav2vec2"))
    saved = one.save(one.init_state())
    with pytest.raises(StateError):
        other.restore(saved)


def test_a_chunk_hears_nothing_after_its_end(encoder: BorrowedEncoder, dyad: Dyad) -> None:
    samples = dyad.agent.samples[: 30 * SAMPLES_PER_FRAME]
    changed = samples.copy()
    changed[20 * SAMPLES_PER_FRAME :] = 0.3
    with torch.inference_mode():
        before, after = encoder.analyse(samples), encoder.analyse(changed)
    assert torch.equal(before.features[:20], after.features[:20])
    assert not torch.equal(before.features[20:], after.features[20:])


def test_a_recording_is_heard_as_its_stream(encoder: BorrowedEncoder, dyad: Dyad) -> None:
    """A last chunk that is not full, too: its window ends where the sound does."""
    samples = dyad.agent.samples[: 33 * SAMPLES_PER_FRAME]
    state, parts = encoder.init_state(), []
    with torch.inference_mode():
        whole = encoder.analyse(samples).features
        for start in range(0, len(samples), 3200):
            state, heard = encoder.step(state, samples[start : start + 3200])
            parts.append(heard.features)
    assert whole.shape == (33, 8)
    assert torch.allclose(torch.cat(parts), whole, atol=1e-4)


def test_level_does_not_matter(encoder: BorrowedEncoder, dyad: Dyad) -> None:
    samples = dyad.agent.samples[: 30 * SAMPLES_PER_FRAME]
    with torch.inference_mode():
        loud, soft = (encoder.analyse(samples * gain).features[10:] for gain in (1.0, 0.25))
    assert (loud - soft).abs().max() < 0.02 * loud.std()


def test_a_model_has_half_of_its_layers(folders: dict[str, Path]) -> None:
    assert len(SpeechModel.load("whisper", folders["whisper"]).network.layers) == 1
    assert len(SpeechModel.load("hubert", folders["hubert"]).network.encoder.layers) == 1


def test_a_map_is_fitted_once(
    folders: dict[str, Path], embedded: SpeechEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    spec = f"hubert:{folders['hubert']}"
    first = borrow(spec, notify=told.append)
    assert len(told) == 2 and f"r = {first.correlation:.2f}" in told[1]
    (path,) = (cache_dir() / "speech_maps").iterdir()
    assert read_safetensors(path)[1]["correlation"] == first.correlation

    monkeypatch.setattr(borrowed_speech, "fit", None)
    again = borrow(spec, notify=told.append)
    assert len(told) == 2
    assert torch.equal(again.weight, first.weight) and again.identity == first.identity
    with pytest.raises(TypeError):  # another model: fitted anew
        borrow(f"wav2vec2:{folders['wav2vec2']}")
    torch.manual_seed(5)
    retrained = SpeechEncoder(embedded.config)
    with pytest.raises(TypeError):  # and for another embedded encoder
        map_for(first.model, retrained, spec)


def test_a_map_tells_sense_from_nonsense(folders: dict[str, Path], embedded: SpeechEncoder) -> None:
    model = SpeechModel.load("whisper", folders["whisper"])
    fitted = borrowed_speech.fit(model, embedded)
    rng = torch.Generator().manual_seed(0)
    heard, features = [], []
    for (sound,) in borrowed_speech.practice_speech():
        samples = torch.from_numpy(sound)[None]
        vectors, _ = borrowed_speech.chunk_vectors(model, samples, torch.zeros(1, 32000))
        heard.append(vectors[0][torch.randperm(len(vectors[0]), generator=rng)])
        features.append(embedded.analyse(sound).features)
    shuffled = fit_map(heard, features)
    assert fitted.correlation > 0.5
    assert abs(shuffled.correlation) < 0.15


def test_practice_speech_lasts_minutes() -> None:
    groups = practice_speech()
    assert 120 < sum(len(sound) for group in groups for sound in group) / 16000 < 200
    assert all(len(sound) % SAMPLES_PER_FRAME == 0 for group in groups for sound in group)


@pytest.mark.parametrize("spec", ["magic:/tmp", "whisper", "whisper:", "/tmp/whisper"])
def test_another_spec_raises(spec: str) -> None:
    with pytest.raises(InputError, match="wanted whisper:FOLDER or hubert:FOLDER"):
        borrow(spec)


def test_folders_that_hold_no_such_model(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model of transformers in /nowhere/at/all"):
        borrow("whisper:/nowhere/at/all")
    with pytest.raises(WeightsError, match="holds a hubert model; wanted whisper"):
        borrow(f"whisper:{folders['hubert']}")
    (tmp_path / "config.json").write_text((folders["hubert"] / "config.json").read_text())
    with pytest.raises(WeightsError, match="cannot be read"):
        borrow(f"hubert:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        borrow(f"hubert:{tmp_path}")


def test_models_that_cannot_be_used(folders: dict[str, Path], tmp_path: Path) -> None:
    of_waveforms("hubert", conv_stride=(5, 2, 2, 2, 2, 2, 1)).save_pretrained(tmp_path / "fast")
    with pytest.raises(WeightsError, match="100 tokens of 20 ms"):
        borrow(f"hubert:{tmp_path / 'fast'}")
    model = of_waveforms("hubert")
    state = {k: v for k, v in model.state_dict().items() if "layers.1" not in k}
    model.save_pretrained(tmp_path / "partial", state_dict=state)
    with pytest.raises(WeightsError, match=r"lacks weights such as encoder\.layers\.1"):
        borrow(f"hubert:{tmp_path / 'partial'}")


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyError, match=re.escape(how_to_add("speech"))):
        borrow(f"whisper:{folders['whisper']}")
