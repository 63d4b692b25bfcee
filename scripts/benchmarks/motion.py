"""Speed of the motion generator: times real time, and milliseconds for a chunk of a live stream.

    scripts/bench motion [--steps 2 4 8] [--seconds 60] [--threads 2] [--device cpu] [--json]

Plays the embedded conversation, repeated, with the other's motion seen, in one process. `chunk` is
one `step` with the 200 ms of sound that make five frames: median and 95th percentile over the whole
stream, the first ten seconds left out. `times real time` is that of the whole stream at once.
`state` is what goes to another process, in kB; it does not grow.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

from app.render.demo import conversation
from audio2motion.hearing.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, Dyad, Waveform
from audio2motion.network.generator import CHUNK_SAMPLES, GeneratorConfig, MotionGenerator
from motion2video.motion import FPS, Motion

_WARM_S = 10.0


def measure(generator: MotionGenerator, dyad: Dyad, seen: Motion) -> dict[str, Any]:
    """One row: the stream chunk by chunk, then at once."""
    assert dyad.interlocutor is not None
    state, times = generator.init_state(), []
    frames = CHUNK_SAMPLES // SAMPLES_PER_FRAME
    for start in range(0, len(dyad.agent) - CHUNK_SAMPLES + 1, CHUNK_SAMPLES):
        piece = slice(start, start + CHUNK_SAMPLES)
        sound = Dyad(
            Waveform(dyad.agent.samples[piece]), Waveform(dyad.interlocutor.samples[piece])
        )
        first = start // SAMPLES_PER_FRAME
        began = time.perf_counter()
        state, _ = generator.step(state, sound, seen[first : first + frames])
        times.append(1000 * (time.perf_counter() - began))
    warm = np.array(times[round(_WARM_S * FPS / frames) :])
    began = time.perf_counter()
    motion = generator.generate(dyad, seen)
    took = time.perf_counter() - began
    return {
        "steps": generator.config.steps,
        "times_real_time": round(len(motion) / FPS / took, 2),
        "chunk_ms": round(float(np.median(warm)), 1),
        "chunk_p95_ms": round(float(np.percentile(warm, 95)), 1),
        "state_kb": round(len(generator.save(state)) / 1000),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="rows as JSON, and nothing else")
    a = parser.parse_args()
    if a.seconds < 2 * _WARM_S:
        parser.error(f"--seconds must be at least {2 * _WARM_S:g}")
    torch.set_num_threads(a.threads)
    length = round(a.seconds * SAMPLE_RATE)
    agent, other = (Waveform(np.resize(v.samples, length)) for v in conversation())
    dyad, seen = Dyad(agent, other), Motion.neutral(round(a.seconds * FPS))
    rows = []
    for steps in a.steps:
        generator = MotionGenerator.load(GeneratorConfig(steps=steps), a.device)
        row = measure(generator, dyad, seen)
        rows.append({"device": a.device, "threads": a.threads, **row})
    if a.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['device']}, {row['threads']} threads, {row['steps']} steps: "
            f"{row['times_real_time']:.1f} x real time, "
            f"chunk of 200 ms in {row['chunk_ms']:.1f} ms (95 %: {row['chunk_p95_ms']:.1f}), "
            f"state {row['state_kb']} kB"
        )


if __name__ == "__main__":
    main()
