"""The command line's options, each with its help, written once. Defaults: app/render/request.py."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

import app.render.request as request
from motion2video import exchange

DEVICE = "auto"
DETECTOR = "mediapipe"
MOTION_SUFFIXES = (".npz",)
EXPORTS = " or ".join(exchange.EXPORTS)

Portrait = Annotated[Path, Option("--portrait", help="Photo of the agent (jpg, png, webp, ...).")]
AgentAudio = Annotated[
    Path | None,
    Option("--agent-audio", help="What the agent says: any sound or video file (wav, mp3, ...)."),
]
InterlocutorAudio = Annotated[
    Path | None, Option("--interlocutor-audio", help="What the other person says.")
]
InterlocutorVideo = Annotated[
    Path | None,
    Option(
        "--interlocutor-video",
        help="The other person's face, which the agent sees; heard too, unless "
        "--interlocutor-audio is given.",
    ),
]
Text = Annotated[
    str | None, Option("--text", help="Words for the agent to say, instead of --agent-audio.")
]
Voice = Annotated[
    str, Option("--voice", help="espeak-ng voice for --text and --ask, e.g. en-us, de, en-gb+f3.")
]
MotionFile = Annotated[
    Path | None,
    Option(
        "--motion",
        help=f"Motion file (.npz, or {EXPORTS} of another program) that drives the face; audio is "
        "then only heard.",
    ),
]
Seed = Annotated[int, Option("--seed", help="Another seed, another take; the same, the same.")]
Size = Annotated[int, Option("--size", help="Longer side of the video in pixels, at most.")]
Fps = Annotated[float, Option("--fps", help="Frames a second of the video.")]
Face = Annotated[
    str,
    Option("--face", help="Which face of the photo: largest, leftmost, or its number."),
]
Crop = Annotated[
    request.Crop, Option("--crop", help="Show the whole photo (full) or only the head.")
]
Mix = Annotated[request.Mix, Option("--mix", help="Whose voice the video has: agent, or both.")]
Device = Annotated[str, Option("--device", help="auto, cpu or cuda.")]
Backend = Annotated[
    request.Backend,
    Option("--backend", help="What runs the renderer's networks; auto fits the device."),
]
Precision = Annotated[
    request.Precision,
    Option("--precision", help="Number format of those networks; auto: int8 on a CPU, else fp16."),
]
Threads = Annotated[
    int | None,
    Option("--threads", help="Frames worked on at a time.", show_default="one a core"),
]
Attention = Annotated[
    request.Attention, Option("--attention", help="Attention kernels; xformers is an extra.")
]
Detector = Annotated[
    str,
    Option(
        "--detector",
        help="mediapipe, or insightface (its model packs are for non-commercial use only).",
    ),
]
SpeechEncoder = Annotated[
    str | None,
    Option(
        "--speech-encoder",
        help="Hear the voices through a model in a folder of yours: whisper:FOLDER, hubert:FOLDER "
        "or wav2vec2:FOLDER, as transformers saves them (extra `speech`).",
        show_default="the embedded one",
    ),
]
Steps = Annotated[
    int | None, Option("--steps", help="Diffusion steps of the renderer.", show_default="its own")
]
VideoOut = Annotated[
    Path,
    Option("--out", help="The video (.mp4, .mov, .mkv); replaced only by a complete new one."),
]
DemoOut = Annotated[
    Path | None,
    Option("--out", help="The video.", show_default="demo.mp4 at the top of the checkout, or here"),
]
DemoPortrait = Annotated[
    Path | None, Option("--portrait", help="Another photo.", show_default="the embedded one")
]
MotionOut = Annotated[Path, Option("--out", help="The motion file (.npz).")]
MotionIn = Annotated[Path, Argument(help="A motion file (.npz).")]
ForeignIn = Annotated[Path, Argument(help=f"A motion file of another program ({EXPORTS}).")]
ForeignOut = Annotated[
    Path,
    Option(
        "--out",
        help=".csv (Live Link Face), .bvh (head and gaze) or .glb (glTF: a head that is animated).",
    ),
]
HeadPortrait = Annotated[
    Path | None, Option("--portrait", help="For .glb: the photo whose face and texture it has.")
]
ExportFps = Annotated[
    float | None, Option("--fps", help="Frames a second.", show_default="the motion's own")
]
AsJson = Annotated[bool, Option("--json", help="One JSON object on stdout and nothing else there.")]
Video = Annotated[Path, Argument(help="A video of one person.")]
Roles = Annotated[list[str] | None, Argument(help="Names of weights; all needed ones if none.")]
