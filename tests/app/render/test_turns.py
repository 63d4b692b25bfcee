"""The turns of a dialogue: how they are written, and two voices on one clock from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.api.problems import Problem
from app.api.schema import Incoming, _from_texts
from app.batch.manifest import ManifestError, read_manifest
from app.intake.allowance import MOST_TURNS, require_allowed
from app.intake.limits import Limits
from app.jobs.plan import Pace, make_plan
from app.render.dialogue import Track, voice_of
from app.render.order import PAUSE, TAIL
from app.render.request import MotionRequest, RenderRequest
from app.render.turns import Turn, load_turns, read_turns
from app.render.voices import hear, load_sound
from app.studio.visitor_batch import read_upload
from audio2motion.hearing.audio import Waveform
from audio2motion.voice.synthesis import synthesize
from tests.app.render.test_voices import no_video
from weights.errors import InputError, LimitError, MediaError

ASKED, ANSWERED = "How are you today?", "Fine, thank you very much."


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the other person, in a folder of its own."""
    return synthesize(ASKED).save(tmp_path_factory.mktemp("said") / "asked.wav")


@pytest.mark.parametrize(
    ("written", "who", "voice", "pause", "text"),
    [
        ("agent: Hi: you", "agent", None, None, "Hi: you"),
        ("interlocutor/en-gb+f3 0.5: Well.", "interlocutor", "en-gb+f3", 0.5, "Well."),
        ("agent 2:Two\nlines", "agent", None, 2.0, "Two\nlines"),
    ],
)
def test_a_turn_is_a_line(written: str, who: str, voice: Any, pause: Any, text: str) -> None:
    (turn,) = read_turns([written])
    assert (turn.who, turn.voice, turn.pause, turn.text) == (who, voice, pause, text)


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        ("them: Hi", "got who 'them'"),
        ("Hi", "wanted WHO"),
        ("agent: ", "no words"),
        ("agent 11: Hi", "0 to 10 seconds"),
        ({"who": "agent", "txt": "Hi"}, "there is no 'txt'"),
        ({"text": "Hi"}, "nobody says it"),
        ({"who": "agent"}, "neither a text and a recording"),
        ({"who": "agent", "text": "Hi", "audio": "a.wav"}, "both a text and a recording"),
        ({"who": "agent", "audio": "a.wav", "voice": "en"}, "a voice for a recording"),
        ({"who": "agent", "text": 3}, "wanted a text"),
        ({"who": "agent", "text": "Hi", "pause": "soon"}, "wanted seconds"),
    ],
)
def test_what_is_wrong_is_told_of_its_turn(turn: Any, told: str) -> None:
    with pytest.raises(InputError, match=r"^turn 2: ") as caught:
        MotionRequest(turns=["agent: Hello.", turn])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "rival", [{"text": "Hi"}, {"agent_audio": "a.wav"}, {"interlocutor_audio": "a.wav"}]
)
def test_turns_are_all_that_is_said(rival: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the turns are all that is said"):
        MotionRequest(turns=["agent: Hello."], **rival)
    with pytest.raises(InputError, match="together for turns"):
        MotionRequest(turns=["agent: Hello."], order="together")
    with pytest.raises(InputError, match="at least one"):
        MotionRequest(turns=[])


def test_a_dialogue_is_two_voices_on_one_clock(asked: Path) -> None:
    turns = [
        {"who": "interlocutor", "audio": str(asked), "pause": 0.5},
        {"who": "agent", "text": f"[smile] {ANSWERED}", "voice": "en-us"},
        {"who": "interlocutor", "text": "Good.", "voice": "en-us"},
    ]
    request = RenderRequest(portrait="me.jpg", turns=turns, mix="both")
    voices = hear(request, no_video, print)
    question, answer = Waveform.load(asked), synthesize(ANSWERED)
    starts = 0.5 + question.seconds + PAUSE
    assert voices.order == "turns" and voices.agent_start == pytest.approx(starts, abs=1e-3)
    assert voices.agent is not None and voices.interlocutor is not None
    assert len(voices.agent) == len(voices.interlocutor)
    first = round(voices.agent_start * 16_000)
    spoken = voices.agent.read(first, len(answer))
    assert np.array_equal(spoken, answer.samples)
    assert not voices.interlocutor.read(first, len(answer)).any(), "one at a time"
    assert np.allclose(voices.interlocutor.read(8_000, 4_000), question.samples[:4_000])
    said = voices.transcript
    assert said is not None and said.text == ANSWERED
    assert said.words[0].start == pytest.approx(starts, abs=0.05)
    assert voices.reply is not None and voices.reply.codes[0].time == pytest.approx(
        starts, abs=0.05
    )
    again = load_sound(request)
    assert again.samples == voices.samples, "played as it was made"
    plan = make_plan(request, Pace())
    assert plan.seconds == pytest.approx(voices.seconds, abs=0.05) and "; 3 turns" in str(plan)
    assert voices.seconds == pytest.approx(
        starts + answer.seconds + PAUSE + synthesize("Good.").seconds + TAIL, abs=1e-2
    )


def test_words_of_a_later_turn_are_found_where_they_are() -> None:
    turns = ["agent/en-us: Hello.", "interlocutor/en-us: Hm.", "agent/en-us: [nod] Yes, of course."]
    voices = hear(MotionRequest(turns=turns), no_video, print)
    assert voices.reply is not None
    text, (code,) = voices.reply.text, voices.reply.codes
    assert (
        text == "Hello. Yes, of course." and text[slice(*code.span)] == "Yes,"[: code.span[1] - 7]
    )


def test_a_track_reads_across_its_parts() -> None:
    ones, twos = (Waveform(np.full(5, v, np.float32)) for v in (0.1, 0.2))
    track = Track([(2, ones), (7, twos), (15, ones)], 22)
    whole = np.array([0] * 2 + [0.1] * 5 + [0.2] * 5 + [0] * 3 + [0.1] * 5 + [0] * 2, np.float32)
    for start in range(23):
        for count in (1, 4, 30):
            assert np.array_equal(track.read(start, count), whole[start : start + count])


def test_the_other_person_has_another_voice() -> None:
    turn = Turn(who="interlocutor", text="Hi")
    assert voice_of(turn, "heart") == "michael" and voice_of(turn, "michael") == "heart"
    assert voice_of(Turn(who="agent", text="Hi"), "de") == "de"


def test_files_of_turns(tmp_path: Path, asked: Path) -> None:
    listed = [{"who": "interlocutor", "audio": "asked.wav"}, f"agent: {ANSWERED}"]
    path = asked.parent / "turns.json"
    path.write_text(json.dumps({"turns": listed}))
    first, second = load_turns(path)
    assert first.recording == asked and second.text == ANSWERED
    table = tmp_path / "turns.csv"
    table.write_text('who,text,audio,pause\nagent,"Well, hello",,0.2\ninterlocutor,,x.wav,\n')
    first, second = load_turns(table)
    assert first.text == "Well, hello" and first.pause == 0.2
    assert second.recording == tmp_path / "x.wav"
    for content, told in (
        ("who,text\nagent,Well, hello\n", "line 2"),
        ("a,b\n1,2\n", "the first line"),
        ("", "the first line"),
        ("who,text\n", "no list of turns"),
        ("who,text\nagent,Hi\nme,Hi\n", "turn 2: got who 'me'"),
    ):
        table.write_text(content)
        with pytest.raises(InputError, match=told):
            load_turns(table)
    for content in ("{", "3", '{"turns": 3}', '[["agent"]]'):
        path.write_text(content)
        with pytest.raises(InputError):
            load_turns(path)


def test_silence_is_told_of_its_turn(tmp_path: Path) -> None:
    silent = Waveform.silence(1.0).save(tmp_path / "silent.wav")
    request = MotionRequest(turns=[Turn(who="agent", audio=silent)])
    with pytest.raises(MediaError, match=r"^turn 1: .*silent"):
        hear(request, no_video, print)


def test_visitors_name_no_file_and_say_only_so_much() -> None:
    given = _from_texts(
        {"turns": json.dumps(["agent: Hi", {"who": "agent", "text": "Ho"}])}, "video"
    )
    assert [t.text for t in MotionRequest(**given).dialogue()] == ["Hi", "Ho"]
    stranger = _from_texts({"turns": '[{"who": "agent", "audio": "/etc/passwd"}]'}, "video")
    with pytest.raises(Problem, match="turn 1: its audio '/etc/passwd' is none of the recordings"):
        Incoming(stranger, [])
    with pytest.raises(Problem, match="turns_file"):
        _from_texts({"turns_file": "/etc/passwd"}, "video")
    limits = Limits()
    many = MotionRequest(turns=["agent: Hi"] * (MOST_TURNS + 1))
    long = MotionRequest(turns=["agent: " + "a" * limits.max_text, "agent: b"])
    for request in (many, long):
        with pytest.raises(LimitError, match="turns"):
            require_allowed(request, limits)


def test_rows_of_a_batch_have_turns(tmp_path: Path, asked: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(b"")
    row = {"portrait": "me.jpg", "turns": [{"who": "agent", "audio": str(asked)}]}
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text(json.dumps(row))
    (item,) = read_manifest(str(manifest), {})
    assert item.recordings == {"turn 1": str(asked)}
    row["turns"][0]["audio"] = "gone.wav"
    manifest.write_text(json.dumps(row))
    with pytest.raises(ManifestError, match=r"turn 1: there is no file"):
        read_manifest(str(manifest), {})
    for stranger in (
        {"turns": [{"who": "agent", "audio": "/etc/passwd"}]},
        {"turns_file": "me.jpg"},
    ):
        manifest.write_text(json.dumps({"portrait": "me.jpg"} | stranger))
        with pytest.raises(ManifestError, match=r"uploaded|other files"):
            read_upload([manifest, tmp_path / "me.jpg"], tmp_path, Limits())
