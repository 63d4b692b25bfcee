"""MotionGenerator: two voices in, the agent's motion out, as a stream.

Everything happens in chunks of 5 frames. The agent's voice is heard 5 frames ahead, so the first
chunk of motion comes when two chunks of sound are there. Whatever the sizes of the pieces that are
given to `step`, the computation is the same, chunk by chunk: same bits. `generate` is the fold of
`step`. A state can be saved and goes on in another process.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio2motion.behaviour.breath import BreathState, breathe
from audio2motion.behaviour.events import SMILE_CHANNELS
from audio2motion.behaviour.eyes import BLINK_CHANNELS
from audio2motion.gestures.controls import Controls
from audio2motion.gestures.style import STYLE_DIM, drawn_manner, gains
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.hearing.speech import (
    SpeechEncoder,
    VoiceEncoder,
    load_strictly,
)
from audio2motion.network.attention import Cache, Past
from audio2motion.network.borrowed_speech import fingerprint
from audio2motion.network.bounds import innovations, kept
from audio2motion.network.bursts import Moment, Said
from audio2motion.network.chunks import STILL, Aimed, Chunk, finish, slowed, smile_detail
from audio2motion.network.condition import (
    CHUNK,
    GLANCE,
    INPUTS,
    LOOK_AHEAD,
    Condition,
    agent_window,
    seen_window,
)
from audio2motion.network.gate import GATE_HIGH, SPEECH_CHANNELS, mouth_gate, silence
from audio2motion.network.gaze import to_eyes
from audio2motion.network.habits import LATELY
from audio2motion.network.marginals import LIP_SHAPES
from audio2motion.network.model import ModelConfig, MotionNetwork
from audio2motion.network.sampling import SOLVERS, GeneratorConfig
from audio2motion.network.source import white
from audio2motion.network.state_codec import Ticket, decode, encode
from audio2motion.network.stream import GeneratorState, append, at_own_rate
from motion2video.motion import DETAIL, MOTION_DIM, ROTATION, Motion
from motion2video.network.flow import Velocity, time_grid
from weights.errors import StateError, WeightsError
from weights.tensors import load_safetensors, read_safetensors

CHUNK_SAMPLES = CHUNK * SAMPLES_PER_FRAME
OUTLINE = tuple(i for i in SPEECH_CHANNELS if i not in LIP_SHAPES)
"""The jaw, and the detail that shapes leave out."""


class MotionGenerator:
    """Makes the agent's motion. Does not change after loading and serves any number of streams;
    what belongs to a stream is in its GeneratorState.
    """

    sample_rate = SAMPLE_RATE
    frame_size = CHUNK
    delay_frames = LOOK_AHEAD + CHUNK - 1

    def __init__(
        self,
        encoder: VoiceEncoder,
        network: MotionNetwork,
        config: GeneratorConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.encoder = encoder.to(device).eval().requires_grad_(False)
        self.network = network.to(device).eval().requires_grad_(False)
        self.config = config
        self.device = torch.device(device)
        temperature = torch.full((MOTION_DIM,), config.temperature)
        temperature[list(SPEECH_CHANNELS)] = config.lip_temperature
        temperature[list(LIP_SHAPES)] = config.shape_temperature
        temperature[list(BLINK_CHANNELS)] *= config.lid_temperature
        temperature[ROTATION.start] *= config.nod_temperature
        self._temperature = temperature.to(self.device)
        scales = config.scales
        self._guided = [i for i in range(len(INPUTS)) if (scales[i] != 1).any()]
        self._scales = torch.from_numpy(scales).to(self.device)
        self._evaluations = config.steps * (2 if config.solver == "heun" else 1)
        self._modulations: dict[float, tuple[Tensor, ...]] = {}

    @staticmethod
    def load(
        config: GeneratorConfig | None = None,
        device: torch.device | str = "cpu",
        encoder: VoiceEncoder | None = None,
        weights: Path | None = None,
    ) -> "MotionGenerator":
        """The generator of a file, `weights`, or the embedded one (roles `motion_generator` and,
        unless another `encoder` is given, `speech_encoder`).

        Raises WeightsError when they are missing, do not fit, or were trained with another speech
        encoder.
        """
        tensors, header = (
            read_safetensors(weights) if weights else load_safetensors("motion_generator")
        )
        network = MotionNetwork(ModelConfig.from_header(header["model"]))
        load_strictly(network, tensors, "motion generator")
        if not header.get("controls_trained", False):
            network.condition.ignore("controls")
        if encoder is None:
            encoder = SpeechEncoder.load()
            if header.get("hears_by") != fingerprint(encoder):
                raise WeightsError(
                    "got a motion generator and a speech encoder that were not trained together; "
                    "install both from one release"
                )
        return MotionGenerator(encoder, network, config or GeneratorConfig(), device)

    def init_state(self, seed: int = 0, controls: Controls | None = None) -> GeneratorState:
        """The beginning of a stream: both silent, the agent at rest."""
        empty = np.empty(0, np.float32)
        return GeneratorState(
            ticket=Ticket(),
            serial=0,
            seed=seed,
            controls=controls or Controls(),
            manner=drawn_manner(self.network.manners.cpu().numpy(), self.config.variety, seed),
            received=0,
            frame=0,
            rest_agent=empty,
            rest_interlocutor=empty,
            rest_present=np.empty(0, bool),
            motion_values=np.empty((0, MOTION_DIM), np.float32),
            motion_valid=np.empty(0, bool),
            motion_start=0,
            agent=self.encoder.init_state(),
            interlocutor=self.encoder.init_state(),
            waiting=None,
            seen=torch.zeros(GLANCE, MOTION_DIM + 1, device=self.device),
            recent=torch.zeros(1, CHUNK, MOTION_DIM, device=self.device),
            heard=torch.zeros(1, CHUNK, MOTION_DIM, device=self.device),
            said=torch.zeros(len(SPEECH_CHANNELS), device=self.device),
            new=torch.zeros(MOTION_DIM, device=self.device),
            said_frames=0.0,
            lately=torch.zeros(1, LATELY, 2 * MOTION_DIM, device=self.device),
            after=torch.zeros(1, self.network.config.width, device=self.device),
            cache=self.network.empty_cache(),
            gate=0.0,
            silent=1.0,
            aim=Aimed(),
            paced=STILL,
            breath=BreathState(),
        )

    def save(self, state: GeneratorState) -> bytes:
        """Where a stream stands, as a safetensors file: `restore`, in this process or another, goes
        on from there with the same bits. Raises StateError for a state that was used already.
        """
        if state.ticket.latest != state.serial:
            raise StateError("this stream state was used already, or its stream has ended")
        return encode((self._networks, state))

    def restore(self, data: bytes) -> GeneratorState:
        """The state that was saved. Raises StateError for other bytes, and for a state of networks
        of other sizes.
        """
        saved = decode(data, self.device)
        if not (isinstance(saved, tuple) and len(saved) == 2 and saved[0] == self._networks):
            raise StateError("this is no state of a stream of this generator")
        if not isinstance(saved[1], GeneratorState):
            raise StateError("this is no state of a stream")
        return replace(saved[1], serial=saved[1].ticket.latest)

    @property
    def _networks(self) -> tuple[ModelConfig, object, int]:
        return self.network.config, self.encoder.identity, self._evaluations

    @torch.inference_mode()
    def step(
        self, state: GeneratorState, dyad: Dyad, interlocutor_motion: Motion | None = None
    ) -> tuple[GeneratorState, Motion]:
        """Take in a piece of both voices, of any length; returns the motion that is ready.

        `interlocutor_motion` (25 fps) goes on where the last one ended and should be there with
        the sound of its frames: what comes after its chunk was made is left out. Frames t of
        the result depend on sound up to frame t + `delay_frames`. Raises StateError for a state
        that was used already, MotionError for another frame rate.
        """
        state = append(self._take(state), dyad, interlocutor_motion)
        parts, used = [Motion.neutral(0)], 0
        while len(state.rest_agent) - used >= CHUNK_SAMPLES:
            state, heard = self._hear(state, slice(used, used + CHUNK_SAMPLES))
            used += CHUNK_SAMPLES
            if (now := state.waiting) is not None:
                seen = self._seen(state, now)
                condition = self._condition(state, now, heard, seen)
                state, x_1 = self._sample(replace(state, seen=seen[CHUNK:]), condition, now)
                _, closed = self.network.read_lips(condition)
                state, motion = self._move(state, now, heard, x_1, closed[0])
                parts.append(motion)
            state = replace(state, waiting=heard)
        rest = slice(used, None)
        state = replace(
            state,
            rest_agent=state.rest_agent[rest].copy(),
            rest_interlocutor=state.rest_interlocutor[rest].copy(),
            rest_present=state.rest_present[rest].copy(),
        )
        return state, Motion.concat(parts)

    def flush(self, state: GeneratorState) -> tuple[GeneratorState, Motion]:
        """End the stream; returns its last frames, so that as many came out as went in.

        The state returned is finished: using it raises StateError.
        """
        total, made = -(-state.received // SAMPLES_PER_FRAME), state.frame
        silence = -(-total // CHUNK) * CHUNK_SAMPLES + CHUNK_SAMPLES - state.received
        quiet = Waveform(np.zeros(silence, np.float32))
        present = bool(len(state.rest_present) and state.rest_present[-1])
        state, motion = self.step(state, Dyad(quiet, quiet if present else None))
        state.ticket.latest = -1
        return state, motion[: total - made]

    def stream(
        self,
        chunks: Iterable[Dyad],
        seed: int = 0,
        controls: Controls | None = None,
        interlocutor_motion: Motion | None = None,
    ) -> Iterator[Motion]:
        """Motion as it becomes ready, for pieces of sound of any length."""
        state = self.init_state(seed, controls)
        pending = at_own_rate(interlocutor_motion)
        for dyad in chunks:
            state, motion = self.step(state, dyad, pending)
            pending = None
            if len(motion):
                yield motion
        _, motion = self.flush(state)
        if len(motion):
            yield motion

    def generate(
        self,
        dyad: Dyad,
        interlocutor_motion: Motion | None = None,
        seed: int = 0,
        controls: Controls | None = None,
    ) -> Motion:
        """The whole motion of a recording: exactly `dyad.frames` frames."""
        parts = list(self.stream([dyad], seed, controls, interlocutor_motion))
        return Motion.concat([Motion.neutral(0), *parts])

    def _modulation(self, t: float) -> tuple[Tensor, ...]:
        """The network's, kept: the solver asks for the same few times in every chunk."""
        if t not in self._modulations:
            self._modulations[t] = self.network.modulation(t)
        return self._modulations[t]

    def _take(self, state: GeneratorState) -> GeneratorState:
        """The state to work on; marks the one given as used."""
        if state.ticket.latest != state.serial:
            raise StateError(
                "this stream state was used already, or its stream has ended; go on with the "
                "state that the last step returned, or start a new stream"
            )
        state.ticket.latest += 1
        return replace(state, serial=state.serial + 1)

    def _hear(self, state: GeneratorState, piece: slice) -> tuple[GeneratorState, Chunk]:
        """Features of one more chunk of sound and of the motion seen with it."""
        (agent, heard), (other, other_heard) = self.encoder.steps(
            [state.agent, state.interlocutor],
            [state.rest_agent[piece], state.rest_interlocutor[piece]],
        )
        present = state.rest_present[piece].reshape(CHUNK, -1).min(1)
        start = state.frame + (CHUNK if state.waiting is not None else 0)
        at = np.arange(start, start + CHUNK) - state.motion_start
        known = (at >= 0) & (at < len(state.motion_values))
        values = np.zeros((CHUNK, MOTION_DIM), np.float32)
        values[known] = state.motion_values[at[known]]
        known[known] = state.motion_valid[at[known]]
        drop = max(0, min(start + CHUNK - state.motion_start, len(state.motion_values)))
        state = replace(
            state,
            agent=agent,
            interlocutor=other,
            motion_values=state.motion_values[drop:],
            motion_valid=state.motion_valid[drop:],
            motion_start=state.motion_start + drop,
        )
        chunk = Chunk(
            heard,
            other_heard,
            self._tensor(present),
            self._tensor(values),
            self._tensor(known),
        )
        return state, chunk

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device)

    def _move(
        self,
        state: GeneratorState,
        now: Chunk,
        ahead: Chunk,
        x_1: Float[Tensor, "1 5 90"],
        closed: Float[Tensor, "5"],
    ) -> tuple[GeneratorState, Motion]:
        """What the network has made of chunk `now`: lips rest when the agent is silent, or as they
        are in its smile, and meet as far as a p, b or m has them `closed`, and the controls have
        their way.
        """
        values = self.network.shown(x_1[0]).cpu().numpy()
        activity = torch.cat([now.agent.activity, ahead.agent.activity]).cpu().numpy()
        gates, gate = mouth_gate(activity, state.gate)
        values[:, OUTLINE] *= self.config.lip_scale
        style = state.controls.style_in(now.in_conversation, state.manner)
        wide = gains(np.array(style))[list(SPEECH_CHANNELS)]
        values[:, SPEECH_CHANNELS] *= (gates * (1 - closed.cpu().numpy()))[:, None] * wide
        paced = slowed(values, state.paced)
        smile = values[:, SMILE_CHANNELS].clip(0, 1).mean(1) * (1 - gates)
        values[:, DETAIL] += smile[:, None] * smile_detail()
        breath = state.breath
        for i, speaks in enumerate(activity[:CHUNK] > GATE_HIGH):
            breath, added = breathe(breath, state.seed, state.frame + i, bool(speaks))
            values[i] += self.config.breath * added
        if now.in_conversation:
            values = to_eyes(torch.from_numpy(values)).numpy()
        values, aim = finish(values, state.controls, state.frame, state.aim)
        state = replace(state, gate=gate, aim=aim, paced=paced, breath=breath)
        state = replace(state, frame=state.frame + CHUNK)
        return state, Motion(values)

    def _seen(self, state: GeneratorState, now: Chunk) -> Float[Tensor, "n 91"]:
        """What is seen of the other in a chunk and the GLANCE frames before it."""
        there = now.motion_present[:, None]
        tokens = torch.cat([self.network.standardise(now.motion) * there, there], 1)
        return torch.cat([state.seen, tokens])

    def _condition(
        self, state: GeneratorState, now: Chunk, ahead: Chunk, seen: Float[Tensor, "n 91"]
    ) -> Condition:
        joined = [
            torch.cat([getattr(now.agent, name), getattr(ahead.agent, name)])
            for name in ("features", "energy", "activity")
        ]
        agent = agent_window(*joined)
        other = now.interlocutor
        sound = torch.cat([other.features, other.energy[:, None], other.activity[:, None]], 1)
        motion = seen_window(seen)
        one = torch.ones(CHUNK, device=self.device)
        present = torch.stack([one, now.interlocutor_present, now.motion_present, one], 1)
        vector = state.controls.vector(now.in_conversation, state.manner).to(self.device)
        vector = vector.expand(CHUNK, -1)
        return Condition(agent[None], sound[None], motion[None], vector[None], present[None])

    def _sample(
        self, state: GeneratorState, condition: Condition, now: Chunk
    ) -> tuple[GeneratorState, Float[Tensor, "1 5 90"]]:
        """Solve the ODE from a chunk's noise to what is new in it beside the chunk before."""
        network = self.network
        style = condition.controls[:, 0, -STYLE_DIM - 1 : -1]
        off = network.off(state.said, state.said_frames)
        embedded = network.embed(condition, off=off)
        cache, after = state.cache, state.after
        if not cache.filled:  # before the first chunk there is one of rest
            still = torch.zeros_like(state.recent)
            cache, after = self._remember(cache, state.recent, still, embedded, network.past(cache))
        # What is not there guides nobody, and costs nothing.
        guided = [i for i in self._guided if condition.present[..., i].any()]
        others = (network.embed(condition.without(INPUTS[i]), off=off) for i in guided)
        every = torch.cat([embedded, *others])
        past, heard = network.past(cache), network.heard_alone(embedded)
        origin = network.origin(state.recent, state.heard, heard)
        swing = network.swing(style)
        moment = network.moment(after, embedded, state.lately, swing)
        led = network.led(origin, moment.lead)

        def say(u: Tensor, t: Tensor) -> Velocity:
            at, rows = float(t), u.expand(len(every), -1, -1)
            said = network.said(rows, at, led, moment, every, past, self._modulation(at))
            return partial(self._guided_velocity, guided, said, moment)

        u_0 = self._noise(state.seed, state.frame, CHUNK) * self._temperature
        u_1 = SOLVERS[self.config.solver](say, u_0, time_grid(self.config.steps))
        silent, level = silence(now.voices.cpu().numpy(), state.silent)
        new = innovations(u_1, moment.reach, network.remembered, network.most * swing)
        new = new - network.adrift(swing, now.in_conversation)
        astray = network.astray(state.new, state.said_frames)
        moved = network.led(led, new - astray)
        x_1 = kept(origin, moved, self._tensor(silent)[None], network.pose)
        done = network.done(x_1, origin)
        cache, after = self._remember(cache, x_1, done, embedded, past)
        lately = torch.cat([state.lately[:, CHUNK:], torch.cat([x_1, done], -1)], 1)
        speaks = (now.agent.activity > GATE_HIGH).float()
        state = replace(
            state,
            recent=x_1,
            heard=heard,
            said=state.said + speaks @ (network.guesses(embedded)[0] + off),
            new=state.new + speaks @ new[0],
            said_frames=state.said_frames + float(speaks.sum()),
            lately=lately,
            after=after,
            cache=cache,
            silent=level,
        )
        return state, x_1

    def _guided_velocity(
        self, guided: list[int], said: Said, moment: Moment, u: Tensor, t: Tensor
    ) -> Tensor:
        """By what is said with everything, and in the further rows without each of `guided`."""
        found = self.network.velocity(said, moment, u.expand(1 + len(guided), -1, -1), float(t))
        total = found[:1]
        for row, i in enumerate(guided, 1):
            total = total + (self._scales[i] - 1) * (found[:1] - found[row : row + 1])
        return total

    def _remember(
        self, cache: Cache, tokens: Tensor, done: Tensor, embedded: Tensor, past: Past
    ) -> tuple[Cache, Tensor]:
        made, after = self.network.remember(tokens, done, embedded, past, self._modulation(1.0))
        return cache.followed_by(made, CHUNK), after

    def _noise(self, seed: int, frame: int, count: int) -> Float[Tensor, "1 t 90"]:
        return self.network.mixed(white(seed, frame, count).to(self.device))
