"""Fit the reading of lips from a voice (MotionNetwork.read_lips), with a large teacher or without.

    python -m scripts.train.lip_reader --clips CLIPS --speech VOICES --weights FILE --out FILE
                                        [--groups lrc ...]

CLIPS (scripts/data/facepack.py) has short tracked clips of a few people, VOICES
(scripts/data/speech.py) voices with phoneme times, and `teacher/NAME.npy` (with --judge also
`judge/NAME.npy`), what a large speech encoder makes of the sounds of the clips. A ridge regression
from the teacher to the tracked lips says what lips do for a voice; the reader learns that, and not
what the lips in front of it did, of which much is chance: on people it never saw it is nearer to
the truth so (Hinton et al. 2015, arXiv 1503.02531, teach a small network by a large one's guesses).
In between stands a reader of all that the speech encoder knows, of which its features are a part
(scripts/train/lip_features.py). All are fitted to how frames differ from the mean of their clip.
FILE is a motion generator's weights; only its reader changes. When lips are shut is learned of the
phoneme times.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from audio2motion.hearing.speech import TOKENS_PER_FRAME, SpeechEncoder, SpeechFeatures
from audio2motion.network.condition import agent_dim, agent_window
from audio2motion.network.gate import SPEECH_CHANNELS
from scripts.data.motion_items import Item, features_of, load_voices
from scripts.evaluate.motion import read
from weights.errors import InputError
from weights.tensors import read_safetensors, save_safetensors

TEACHER_STIFFNESS, READER_STIFFNESS, CLOSURE_STIFFNESS = 0.05, 0.3, 0.5
COPY_STIFFNESS = 0.003
LEAST_SPREAD = 1e-4
TEACHER_REACH = 3
GROUPS = ("lrc",)
"""The clips of many people with a voice each, of which reading is learned."""
_SPOKEN = 0.5
_LEAST_FRAMES = 5


class Ridge:
    """A ridge regression with a constant, of frames that come in pieces."""

    def __init__(self, inputs: int, outputs: int, stiffness: float) -> None:
        self._gram = torch.zeros(inputs, inputs, dtype=torch.float64)
        self._cross = torch.zeros(inputs, outputs, dtype=torch.float64)
        self._x = torch.zeros(inputs, dtype=torch.float64)
        self._y = torch.zeros(outputs, dtype=torch.float64)
        self._count = self._moments = 0.0
        self._stiffness = stiffness

    def add(self, x: Tensor, y: Tensor, chosen: Tensor, lengths: list[int] | None = None) -> None:
        """The frames [n, inputs] that are `chosen` [n], and what they should give [n, outputs].

        With `lengths` of clips that follow each other, only how a frame differs from the mean of
        its clip counts: what is common to a clip says who speaks and how the face was tracked.
        """
        first = 0
        parts = []
        for length in lengths or [len(x)]:
            here = chosen[first : first + length]
            parts.append([z[first : first + length][here].double() for z in (x, y)])
            first += length
        parts = [part for part in parts if len(part[0]) >= _LEAST_FRAMES]
        if not parts:
            return
        for total, k in ((self._x, 0), (self._y, 1)):
            total += torch.cat([part[k] for part in parts]).sum(0)
        self._count += sum(len(part[0]) for part in parts)
        if lengths is None:
            self._moments += sum(len(part[0]) for part in parts)
        else:
            parts = [[z - z.mean(0) for z in part] for part in parts]
        xs, ys = (torch.cat([part[k] for part in parts]) for k in (0, 1))
        self._gram += xs.T @ xs
        self._cross += xs.T @ ys

    def solve(self) -> Tensor:
        """[inputs + 1, outputs], the constant last; zero when there was nothing to learn from."""
        if not self._count:
            return torch.zeros(len(self._x) + 1, len(self._y))
        x, y = self._x / self._count, self._y / self._count
        gram = self._gram - self._moments * torch.outer(x, x)
        cross = self._cross - self._moments * torch.outer(x, y)
        spread = gram.diagonal().clamp(min=LEAST_SPREAD * self._count)
        weight = torch.linalg.solve(gram + self._stiffness * spread.diag(), cross)
        return torch.cat([weight, (y - x @ weight)[None]]).float()


@dataclass(frozen=True, eq=False)
class Taught:
    """A voice: what the reader hears [T, a], the same of all that the encoder knows [T, k], where
    it speaks [T], the teacher [T, t] with its neighbours, the tracked lips [T, s], and the
    `lengths` of the clips that it is put together of.
    """

    agent: Float[Tensor, "T a"]
    whole: Float[Tensor, "T k"]
    speaks: Bool[Tensor, "T"]
    teacher: Float[Tensor, "T t"]
    lips: Float[Tensor, "T s"]
    lengths: list[int]


class Whole(SpeechEncoder):
    """The encoder without its last layer: all numbers of a frame's tokens are its features."""

    @staticmethod
    def of(encoder: SpeechEncoder) -> "Whole":
        """With an encoder's weights."""
        whole = Whole(encoder.config)
        whole.load_state_dict(encoder.state_dict())
        return whole.eval().requires_grad_(False)

    def forward(
        self, mel: Float[Tensor, "b t k"], past: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "b t f"], tuple[Tensor, ...]]:
        """What `leave` would be given."""
        x, kept = self.tokens(mel, past)
        return rearrange(self.norm(x), "b (t n) w -> b t (n w)", n=TOKENS_PER_FRAME), kept


def surroundings(features: Float[np.ndarray, "n f"], count: int) -> Float[Tensor, "T t"]:
    """Every frame's features with those of TEACHER_REACH frames to both sides; `count` frames."""
    known = np.pad(features, ((0, max(0, count - len(features))), (0, 0)), mode="edge")[:count]
    padded = np.pad(known.astype(np.float32), ((TEACHER_REACH,) * 2, (0, 0)), mode="edge")
    near = [padded[k : k + count] for k in range(2 * TEACHER_REACH + 1)]
    return torch.from_numpy(np.concatenate(near, 1))


def heard(found: SpeechFeatures) -> tuple[Float[Tensor, "T a"], Bool[Tensor, "T"]]:
    """What the reader is given of a voice whose features go LOOK_AHEAD frames past its end."""
    window = agent_window(found.features.float(), found.energy.float(), found.activity.float())
    return window, found.activity[: len(window)] > _SPOKEN


def teachers(speech: Path) -> list[Path]:
    """The folders of what a large speech encoder hears: `teacher`, and `judge` where there is one,
    whose layer is another.
    """
    return [folder for name in ("teacher", "judge") if (folder := speech / name).is_dir()]


def taught_clips(
    clips: Path, speech: Path, encoder: SpeechEncoder, groups: Sequence[str] = GROUPS
) -> Iterator[Taught]:
    """The tracked clips of some `groups` of the split `train`, those of one person in a row."""
    folders = teachers(speech)
    people = defaultdict(list)
    for clip in read(clips, {"train"}, set(groups)):
        people[clip["person"]].append(clip)
    own = list(people.values())
    sounds = [np.concatenate([c["samples"] for c in group]) for group in own]
    frames = [sum(len(c["motion"]) for c in group) for group in own]
    for group, found in zip(own, features_of(Whole.of(encoder), sounds, frames), strict=True):
        whole, speaks = heard(found)
        agent, _ = heard(replace(found, features=encoder.leave(found.features.float())))
        near = [
            torch.cat(
                [surroundings(np.load(f / f"{c['name']}.npy"), len(c["motion"])) for f in folders],
                1,
            )
            for c in group
        ]
        values = np.concatenate([c["motion"].values[:, list(SPEECH_CHANNELS)] for c in group])
        lengths = [len(c["motion"]) for c in group]
        yield Taught(agent, whole, speaks, torch.cat(near), torch.from_numpy(values), lengths)


def learn_whole(clips: list[Taught]) -> Float[Tensor, "k s"]:
    """What a reader of all that the encoder knows makes of a voice: the lips that the teacher would
    see. Raises InputError without a clip.
    """
    if not clips:
        raise InputError("there is no tracked clip to learn lips of")
    lips = len(SPEECH_CHANNELS)
    guess = Ridge(clips[0].teacher.shape[1], lips, TEACHER_STIFFNESS)
    for clip in clips:
        guess.add(clip.teacher, clip.lips, clip.speaks, clip.lengths)
    teaching = guess.solve()
    whole = Ridge(clips[0].whole.shape[1], lips, READER_STIFFNESS)
    for clip in clips:
        wanted = clip.teacher @ teaching[:-1] + teaching[-1]
        whole.add(clip.whole, wanted, clip.speaks, clip.lengths)
    return whole.solve()


def learn_lips(clips: Iterable[Taught]) -> Float[Tensor, "a s"]:
    """What the reader makes of a voice: as `learn_whole`, of the features alone. Raises InputError
    without a clip.
    """
    clips = list(clips)
    whole = learn_whole(clips)
    reader = Ridge(clips[0].agent.shape[1], len(SPEECH_CHANNELS), COPY_STIFFNESS)
    for clip in clips:
        wanted = clip.whole @ whole[:-1] + whole[-1]
        reader.add(clip.agent, wanted, clip.speaks, clip.lengths)
    return reader.solve()


def learn_closures(items: list[Item], inputs: int) -> Float[Tensor, "a 1"]:
    """How far a p, b or m keeps lips together, of voices with phoneme times; `inputs` numbers a
    frame.
    """
    closure = Ridge(inputs, 1, CLOSURE_STIFFNESS)
    for item in items:
        if item.shut is not None:
            agent, _ = heard(item.agent)
            agent, shut = agent[: len(item.shut)], item.shut[: len(agent), None]
            closure.add(agent, shut, torch.ones(len(agent), dtype=torch.bool))
    return closure.solve()


def main() -> None:
    """Parse the command line, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", nargs="+", default=GROUPS, help="of the clips; these alone")
    a = parser.parse_args()
    encoder = SpeechEncoder.load()
    with torch.inference_mode():
        clips = taught_clips(a.clips, a.speech, encoder, a.groups)
        lips = learn_lips(clips)
        shut = learn_closures(load_voices(a.speech, encoder), agent_dim(encoder.config.features))
    tensors, header = read_safetensors(a.weights)
    channels = list(SPEECH_CHANNELS)
    mean, std = (torch.from_numpy(tensors[n][channels]).float() for n in ("mean", "std"))
    lips = torch.cat([lips[:-1], lips[-1:] - mean]) / std
    tensors["reader"] = torch.cat([lips, shut], 1).half().numpy()
    save_safetensors(a.out, tensors, header)


if __name__ == "__main__":
    main()
