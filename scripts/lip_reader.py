"""Fit the reading of lips from a voice (MotionNetwork.read_lips), with a large teacher or without.

    python -m scripts.lip_reader --clips CLIPS --speech VOICES --weights FILE --out FILE

CLIPS (scripts/convert_facepack.py) has short tracked clips of a few people, VOICES
(scripts/prepare_speech.py) voices with phoneme times, and `teacher/NAME.npy`, what a
large speech encoder makes of the sounds of the clips. A ridge regression from the teacher to the
tracked lips says what lips do for a voice; the reader learns that, and not what the lips in front
of it did, of which much is chance: on people it never saw it is nearer to the truth so (Hinton et
al. 2015, arXiv 1503.02531, teach a small network by a large one's guesses). FILE is a motion
generator's weights; only its reader changes. When lips are shut is learned of the phoneme times.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.condition import agent_dim, agent_window
from audio2motion.gate import SPEECH_CHANNELS
from audio2motion.speech import SpeechEncoder, SpeechFeatures, VoiceEncoder
from scripts.evaluate_motion import read
from scripts.motion_items import Item, features_of, load_voices
from weights.errors import InputError
from weights.tensors import read_safetensors, save_safetensors

RIDGE, LEAST_SPREAD = 0.5, 1e-4
TEACHER_REACH = 3
_SPOKEN = 0.5


class Ridge:
    """A ridge regression with a constant, of frames that come in pieces."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """`inputs` counts the constant."""
        self._gram, self._cross = torch.zeros(inputs, inputs), torch.zeros(inputs, outputs)

    def add(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        """Frames [n, inputs - 1] and what they should give; weight [n, 1]."""
        x = torch.cat([x, torch.ones(len(x), 1)], 1)
        self._gram += x.T @ (weight * x)
        self._cross += x.T @ (weight * y)

    def solve(self) -> Tensor:
        """[inputs, outputs], the constant last; zero when there was nothing to learn from."""
        if not self._gram.any():
            return self._cross
        count = self._gram[-1, -1]
        spread = self._gram.diagonal() - self._gram[-1].square() / count
        spread[:-1].clamp_(min=LEAST_SPREAD * float(count))
        return torch.linalg.solve(self._gram + RIDGE * spread.diag(), self._cross)


@dataclass(frozen=True, eq=False)
class Taught:
    """A voice: what the reader hears [T, a], where it speaks [T, 1], the teacher [T, t] with its
    neighbours, and the tracked lips [T, s].
    """

    agent: Float[Tensor, "T a"]
    speaks: Float[Tensor, "T 1"]
    teacher: Float[Tensor, "T t"]
    lips: Float[Tensor, "T s"]


def surroundings(features: Float[np.ndarray, "n f"], count: int) -> Float[Tensor, "T t"]:
    """Every frame's features with those of TEACHER_REACH frames to both sides; `count` frames."""
    known = np.pad(features, ((0, max(0, count - len(features))), (0, 0)), mode="edge")[:count]
    padded = np.pad(known.astype(np.float32), ((TEACHER_REACH,) * 2, (0, 0)), mode="edge")
    near = [padded[k : k + count] for k in range(2 * TEACHER_REACH + 1)]
    return torch.from_numpy(np.concatenate(near, 1))


def heard(found: SpeechFeatures) -> tuple[Float[Tensor, "T a"], Float[Tensor, "T 1"]]:
    """What the reader is given of a voice whose features go LOOK_AHEAD frames past its end."""
    window = agent_window(found.features.float(), found.energy.float(), found.activity.float())
    return window, (found.activity[: len(window), None] > _SPOKEN).float()


def taught_clips(clips: Path, teacher: Path, encoder: VoiceEncoder) -> Iterator[Taught]:
    """The tracked clips of the split `train`, those of one person in a row."""
    people = defaultdict(list)
    for clip in read(clips, {"train"}, {"lrc"}):
        people[clip["person"]].append(clip)
    groups = list(people.values())
    sounds = [np.concatenate([c["samples"] for c in group]) for group in groups]
    frames = [sum(len(c["motion"]) for c in group) for group in groups]
    for group, found in zip(groups, features_of(encoder, sounds, frames), strict=True):
        agent, speaks = heard(found)
        near = [
            surroundings(np.load(teacher / f"{c['name']}.npy"), len(c["motion"])) for c in group
        ]
        values = np.concatenate([c["motion"].values[:, list(SPEECH_CHANNELS)] for c in group])
        yield Taught(agent, speaks, torch.cat(near), torch.from_numpy(values))


def learn_lips(clips: Iterable[Taught]) -> Float[Tensor, "a s"]:
    """What the reader makes of a voice: the lips that the teacher would see. Raises InputError
    without a clip.
    """
    clips, lips = list(clips), len(SPEECH_CHANNELS)
    if not clips:
        raise InputError("there is no tracked clip to learn lips of")
    guess = Ridge(clips[0].teacher.shape[1] + 1, lips)
    for clip in clips:
        guess.add(clip.teacher, clip.lips, clip.speaks)
    teaching = guess.solve()
    reader = Ridge(clips[0].agent.shape[1] + 1, lips)
    for clip in clips:
        wanted = clip.teacher @ teaching[:-1] + teaching[-1]
        reader.add(clip.agent, wanted, clip.speaks)
    return reader.solve()


def learn_closures(items: list[Item], inputs: int) -> Float[Tensor, "a 1"]:
    """How far a p, b or m keeps lips together, of voices with phoneme times; `inputs` numbers a
    frame.
    """
    closure = Ridge(inputs + 1, 1)
    for item in items:
        if item.shut is not None:
            agent, _ = heard(item.agent)
            agent, shut = agent[: len(item.shut)], item.shut[: len(agent), None]
            closure.add(agent, shut, torch.ones(len(agent), 1))
    return closure.solve()


def main() -> None:
    """Parse the command line, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    encoder = SpeechEncoder.load()
    with torch.inference_mode():
        clips = taught_clips(a.clips, a.speech / "teacher", encoder)
        lips = learn_lips(clips)
        shut = learn_closures(load_voices(a.speech, encoder), agent_dim(encoder.config.features))
    tensors, header = read_safetensors(a.weights)
    channels = list(SPEECH_CHANNELS)
    mean, std = (torch.from_numpy(tensors[n][channels]).float() for n in ("mean", "std"))
    lips[-1] -= mean
    tensors["reader"] = torch.cat([lips / std, shut], 1).half().numpy()
    save_safetensors(a.out, tensors, header)


if __name__ == "__main__":
    main()
