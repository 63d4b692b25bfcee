"""A compiled network computes the same, and is compiled once: not anew for every step.

In a process of its own: the checks of shapes that tests have cannot be compiled.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.endurance
@pytest.mark.timeout(900)
def test_a_compiled_network_is_one_graph_for_all_steps() -> None:
    words = [sys.executable, "-m", "tests.motion2video.reference.test_compiling"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "graph"]


def compile_one() -> None:
    """Three steps, compiled and not."""
    import torch

    from motion2video.reference.attention import Reference, Sight
    from motion2video.reference.families import UNetShape
    from motion2video.reference.unets import make_denoising_unet

    shape = UNetShape(channels=(8, 16), layers=1, heads=2, groups=4, context=12, frames=8)
    plain, compiled = (make_denoising_unet(shape).eval() for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    graphs = list[Any]()

    def backend(graph: Any, _: object) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled.compile(backend=backend, fullgraph=True)
    place = "mid_block.attentions.0.transformer_blocks.0.attn1"
    reference = Reference(Sight({place: torch.randn(1, 16, 16)}), 3)
    sample, tokens = torch.randn(2, 4, 3, 8, 8), torch.randn(2, 1, 12)
    pose = [torch.randn(6, 8, 8, 8)]
    with torch.inference_mode():
        for t in (999, 900, 800):
            found, wanted = (
                network(sample, torch.tensor(t), tokens, pose, reference)
                for network in (compiled, plain)
            )
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    print(len(graphs), "graph")


if __name__ == "__main__":
    compile_one()
