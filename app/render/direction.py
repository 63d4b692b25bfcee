"""What the face shall do: from a request and what is heard to the generator's controls."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.render.reading import HERE, Reader
from app.render.request import MotionRequest, Notify, Source
from app.render.voices import See, Voices
from audio2motion.gestures.gestures import Gesture
from audio2motion.gestures.style import Style, style_of
from audio2motion.gestures.transcript import Transcript, merge
from audio2motion.hearing.audio import speech_segments
from audio2motion.voice.reply_codes import gestures_of, leading_emotion
from motion2video.motion import Motion

if TYPE_CHECKING:
    from audio2motion.gestures.controls import Controls


def direct(
    request: MotionRequest, voices: Voices, see: See, notify: Notify, reader: Reader = HERE
) -> "Controls":
    """The controls of a request, with the style of its reference clip, the emotion that the codes
    in what the agent says show longest, and all gestures in order of time: those placed, those of
    its timeline, and those of the codes or, where they have none, found in the words.

    Raises InputError for files that cannot be used, MotionError for a style clip that shows less
    than a second of a face.
    """
    controls = request.controls
    placed = controls.gestures
    if request.gesture_file is not None:
        placed += reader.gestures(Path(request.gesture_file))
    if (reply := voices.reply) is not None:
        emotion = leading_emotion(reply.codes, reply.sound.seconds)
        controls = replace(controls, emotion=emotion or controls.emotion)
    gestures = merge(_said_gestures(request, voices, notify, reader), placed)
    _tell_late(gestures, voices.seconds, notify)
    if request.style_clip is not None:
        controls = replace(controls, style=_style(request.style_clip, see, reader))
    return replace(controls, gestures=gestures)


def _said_gestures(
    request: MotionRequest, voices: Voices, notify: Notify, reader: Reader
) -> tuple[Gesture, ...]:
    """The gestures of the codes in what the agent says, or else of its words."""
    reply = voices.reply
    coded = () if reply is None else gestures_of(reply.codes, reply.text)
    if coded or not request.auto_gestures:
        return coded
    transcript = transcript_of(request, voices, notify, reader)
    return () if transcript is None else transcript.gestures()


def transcript_of(
    request: MotionRequest, voices: Voices, notify: Notify, reader: Reader
) -> Transcript | None:
    """What the agent says, with times in the video; None when it is not known."""
    given = request.transcript
    if given is None:
        return voices.transcript
    transcript = given if isinstance(given, Transcript) else reader.transcript(Path(given))
    if transcript.timed or voices.agent is None:
        return transcript.delayed(voices.agent_start)
    name = "the transcript" if isinstance(given, Transcript) else str(given)
    notify(
        f"{name} has no times: its words are spread over the time in which the agent speaks, and "
        "gestures found in it may come early or late"
    )
    return transcript.spread(speech_segments(voices.agent))


def _style(clip: Source | Motion, see: See, reader: Reader) -> Style:
    """The style of a motion, a motion file or the person in a video."""
    if isinstance(clip, Motion):
        return style_of(clip)
    path = Path(clip)
    return style_of(reader.motion(path) if path.suffix.lower() == ".npz" else see(path))


def _tell_late(gestures: tuple[Gesture, ...], seconds: float, notify: Notify) -> None:
    late = [str(gesture) for gesture in gestures if gesture.start >= seconds]
    if late:
        notify(f"{', '.join(late)} will not be seen: the motion ends after {seconds:.2f} s")
