"""The order of two voices: who waits for whom, and that everything said is on the video's clock."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.batch.estimate import CHARACTERS_PER_SECOND, _lengths
from app.batch.manifest import read_manifest
from app.jobs.plan import Pace, make_plan
from app.render.direction import direct
from app.render.filming import film
from app.render.order import LEAD_IN, PAUSE, TAIL, Arranged, arrange
from app.render.performance import Players, perform
from app.render.request import MotionRequest, RenderRequest
from app.render.voices import Delayed, Voices, hear, load_sound
from audio2motion.gestures.transcript import Transcript, Word
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize
from motion2video.motion import Motion
from tests.app.render.test_voices import joined, no_video
from weights.errors import InputError

SAID = "No, that's wrong."


@pytest.fixture(scope="module")
def question() -> Waveform:
    """A second or two of the other's voice, and a second in which they say no more."""
    spoken = synthesize("So where have you been all day?", pitch=75)
    return spoken.pad_to(len(spoken) + 16_000)


def heard(**fields: Any) -> tuple[Voices, list[str]]:
    told: list[str] = []
    if "text" in fields:
        fields["voice"] = "en-us"
    return hear(MotionRequest(**fields), no_video, told.append), told


def first_sound(sound: Any) -> float:
    """Seconds at which something is heard."""
    return float(np.flatnonzero(np.abs(sound.read(0, len(sound))) > 0.01)[0]) / 16_000


@pytest.mark.parametrize(
    ("order", "words", "agent", "other", "comes_to"),
    [
        ("auto", False, 60.0, 60.5, "together"),
        ("auto", False, 60.0, 61.0, "turns"),
        ("auto", False, 2.0, 2.09, "together"),
        ("auto", False, 2.2, 2.0, "turns"),
        ("auto", True, 60.0, 60.0, "turns"),
        ("together", True, 1.0, 60.0, "together"),
        ("turns", False, 60.0, 60.0, "turns"),
    ],
)
def test_what_an_order_comes_to(
    order: Any, words: bool, agent: float, other: float, comes_to: Arranged
) -> None:
    assert arrange(order, words, agent, other) == comes_to


def test_a_text_answers_when_the_other_has_finished(question: Waveform) -> None:
    voices, told = heard(text=SAID, interlocutor_audio=question)
    starts = question.speech_end + PAUSE
    assert voices.order == "turns" and voices.agent_start == pytest.approx(starts, abs=1e-4)
    assert told == [
        f"the other person speaks first and the agent from {starts:.2f} s on; give the order "
        "together for two tracks of one conversation"
    ]
    assert not voices.notices, "a question that is over before its answer is nothing to tell"
    assert question.speech_end < question.seconds - 0.9, "nobody waits for the end of a file"
    dyad, alone = joined(voices), synthesize(SAID)
    assert voices.seconds == pytest.approx(starts + alone.seconds + TAIL, abs=1e-3)
    begun = round(voices.agent_start * 16_000)
    assert not dyad.agent.samples[:begun].any()
    assert np.array_equal(dyad.agent.samples[begun : begun + len(alone)], alone.samples)
    assert dyad.interlocutor is not None
    assert np.array_equal(dyad.interlocutor.samples[: len(question)], question.samples)
    mixed = voices.mixed(both=True)
    assert mixed is not None and len(mixed) == voices.samples
    assert np.array_equal(mixed.read(0, begun), dyad.interlocutor.samples[:begun])


def test_words_codes_and_gestures_come_when_they_are_said(question: Waveform) -> None:
    request = MotionRequest(text=f"[sadness] {SAID}", interlocutor_audio=question, pause=1.0)
    voices = hear(request, no_video, print)
    assert voices.reply is not None and voices.agent is not None
    assert voices.agent_start == pytest.approx(question.speech_end + 1.0, abs=1e-4)
    assert voices.reply.codes[0].time == pytest.approx(voices.agent_start, abs=0.05)
    first = voices.reply.transcript.words[0]
    assert abs(first.start - first_sound(voices.agent)) < 0.1
    # A gesture that is placed is placed in the video: a nod while the agent listens, too.
    placed = MotionRequest(text=SAID, interlocutor_audio=question, gestures=["nod@0.5"])
    controls = direct(placed, hear(placed, no_video, print), no_video, print)
    assert [g.start for g in controls.gestures if g.source is None] == [0.5]
    (shake,) = [g for g in controls.gestures if g.kind == "shake"]
    assert shake.start > question.speech_end


def test_a_recording_and_its_transcript_move_together(question: Waveform) -> None:
    answer = synthesize(SAID)
    said = Transcript(SAID, (Word(0, 2, 0.02, 0.3),), "en")
    for transcript in (said, Transcript(SAID)):
        request = MotionRequest(
            agent_audio=answer, transcript=transcript, interlocutor_audio=question
        )
        told: list[str] = []
        voices = hear(request, no_video, told.append)
        assert voices.order == "turns" and "speaks first" in told[0]
        assert voices.agent_start == pytest.approx(question.speech_end + PAUSE, abs=1e-4)
        shake = direct(request, voices, no_video, print).gestures[0]
        assert shake.kind == "shake" and 0 <= shake.start - voices.agent_start + 0.3 < 0.5


def test_tracks_of_one_conversation_keep_their_clock(question: Waveform) -> None:
    other = question.pad_to(len(question) + 800)
    voices, told = heard(agent_audio=question, interlocutor_audio=other)
    assert voices.order == "together" and voices.agent is question and voices.agent_start == 0
    assert told == [
        "both recordings are of one length and start at 0 s, as two tracks of one conversation; "
        "give the order turns for a question and its answer"
    ]
    asked, told = heard(agent_audio=question, interlocutor_audio=other, order="turns")
    assert asked.agent_start > other.speech_end and not told


def test_together_is_as_it_always_was(question: Waveform) -> None:
    """No silence before the text, so that requests of before can be made again."""
    voices, told = heard(text=SAID, interlocutor_audio=question, order="together")
    alone = synthesize(SAID)
    assert voices.order == "together" and voices.agent_start == 0 and not told
    assert np.array_equal(joined(voices).agent.samples[: len(alone)], alone.samples)
    assert voices.seconds == question.seconds


def test_a_text_alone_has_silence_around_it() -> None:
    voices, told = heard(text="Hello.")
    alone = synthesize("Hello.")
    assert voices.order is None and voices.agent_start == LEAD_IN and not told
    assert voices.seconds == pytest.approx(LEAD_IN + alone.seconds + TAIL) and voices.seconds > 1
    assert voices.transcript is not None and voices.agent is not None
    assert voices.transcript.words[0].start == pytest.approx(LEAD_IN, abs=0.05)
    assert first_sound(voices.agent) == pytest.approx(LEAD_IN, abs=0.05)
    assert not voices.agent.read(len(voices.agent) - 4_000, 4_000).any()


def test_a_recording_alone_is_left_alone(question: Waveform) -> None:
    voices, _ = heard(agent_audio=question)
    assert voices.agent is question and voices.agent_start == 0 and voices.order is None


def test_nobody_waits_for_who_says_nothing() -> None:
    voices, told = heard(text="Hello.", interlocutor_audio=Waveform.silence(2.0), order="turns")
    assert voices.order is None and voices.agent_start == LEAD_IN
    assert told == ["nobody speaks in the interlocutor's audio: there is nothing to listen to"]


@pytest.mark.parametrize("pause", [-0.1, 11.0, float("nan")])
def test_a_wrong_pause_is_refused(pause: float) -> None:
    with pytest.raises(InputError, match=r"got the pause .*; wanted 0 to 10 seconds"):
        MotionRequest(text="Hello.", pause=pause)


def test_a_later_voice_is_read_piece_by_piece() -> None:
    """Nothing of it is read for its silence, and no more than is asked for afterwards."""
    read: list[tuple[int, int]] = []

    class Told(Waveform):
        def read(self, start: int, count: int) -> np.ndarray:
            read.append((start, count))
            return super().read(start, count)

    samples = np.random.default_rng(0).uniform(-1, 1, 5_000).astype(np.float32)
    late = Delayed(Told(samples), 0.1)
    whole = np.concatenate([np.zeros(1_600, np.float32), samples])
    assert len(late) == len(whole) and len(late.read(0, 1_600)) == 1_600
    assert all(count == 0 for _, count in read)
    for size in (1, 640, 1_601, 9_000):
        for start in (0, 1_599, 1_600, 3_000, 6_599, 6_600, 9_999):
            assert np.array_equal(late.read(start, size), whole[start : start + size])
    assert max(count for _, count in read) <= 9_000 and min(start for start, _ in read) == 0


def test_a_motion_that_was_made_in_turns_is_heard_in_turns(
    question: Waveform, portrait: Path
) -> None:
    told: list[str] = []
    request = RenderRequest(
        portrait=portrait,
        motion=Motion.neutral(120),
        text=SAID,
        voice="en-us",
        interlocutor_audio=question,
        mix="both",
    )
    shown = perform(_nobody(), request, told.append)
    made, _ = heard(text=SAID, interlocutor_audio=question)
    assert shown.voices.agent_start == made.agent_start and shown.voices.order == "turns"
    mixed, as_made = shown.sound, made.mixed(both=True)
    assert mixed is not None and as_made is not None
    assert np.array_equal(mixed.read(0, len(mixed)), as_made.read(0, len(as_made)))


def _nobody() -> Players:
    return Players(None, None)  # pyrefly: ignore[bad-argument-type]


@pytest.fixture(scope="module")
def filmed(question: Waveform, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A video of the other person, without and with sound."""
    folder, frame = tmp_path_factory.mktemp("filmed"), np.full((64, 64, 3), 128, np.uint8)
    paths = {sound: folder / f"{sound}.mp4" for sound in (False, True)}
    for sound, path in paths.items():
        film([frame] * 70, path, 25.0, question if sound else None)
    return paths


def test_who_is_seen_and_heard_is_answered(filmed: dict[bool, Path]) -> None:
    request = MotionRequest(text=SAID, interlocutor_video=filmed[True])
    voices = hear(request, lambda _: Motion.neutral(70), print)
    assert voices.order == "turns" and 1.5 < voices.agent_start < 2.2
    seen = voices.seen(voices.frames)
    assert seen is not None and seen.mask[:70].all() and not seen.mask[70:].any()
    assert load_sound(request).agent_start == voices.agent_start, "the editor hears the same"
    silent = MotionRequest(text=SAID, interlocutor_video=filmed[False])
    assert hear(silent, lambda _: Motion.neutral(70), print).agent_start == LEAD_IN


@pytest.mark.parametrize("order", ["auto", "turns", "together"])
def test_the_plan_knows_the_order(
    order: Any, question: Waveform, portrait: Path, filmed: dict[bool, Path]
) -> None:
    """At most: how long the other is silent at the end of a recording is not looked at."""
    answer = synthesize(SAID)
    tight = Waveform(question.samples[: round(question.speech_end * 16_000)])
    for voices in (
        {"agent_audio": answer, "interlocutor_audio": tight},
        {"text": SAID, "interlocutor_audio": tight},
        {"text": SAID, "interlocutor_audio": question},
        {"text": SAID, "interlocutor_video": filmed[False]},
        {"text": SAID},
        {"interlocutor_audio": tight},
    ):
        fields: dict[str, Any] = {"order": order, **voices}
        plan = make_plan(RenderRequest(portrait=portrait, **fields), Pace())
        made = hear(MotionRequest(**fields), lambda _: Motion.neutral(70), print)
        assert plan.order == made.order
        assert ("they speak first" in str(plan)) == (made.order == "turns")
        more = plan.seconds - made.seconds
        assert (
            0.9 < more < 1.1
            if plan.order == "turns" and question in voices.values()
            else (abs(more) < 0.05)
        )


def test_a_batch_knows_the_order(question: Waveform, portrait: Path, tmp_path: Path) -> None:
    question.save(tmp_path / "q.wav")
    row = {"portrait": str(portrait), "text": "a" * 28, "interlocutor_audio": "q.wav"}
    rows = [row, {**row, "order": "together"}, {**row, "pause": "2"}]
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(
        "".join(json.dumps({**r, "output": f"{i}.mp4"}) + "\n" for i, r in enumerate(rows))
    )
    said = 28 / CHARACTERS_PER_SECOND + TAIL
    assert _lengths(read_manifest(str(manifest), {})) == pytest.approx(
        [question.seconds + PAUSE + said, question.seconds, question.seconds + 2 + said], abs=0.01
    )
