"""Processes that train one network: what they learn together is what one learns of all batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scripts.train import on_ray, processes
from scripts.train.loop import Ahead, LoopConfig, run
from weights.tensors import read_safetensors

ROOT = Path(__file__).parents[2]
STEPS = 6
ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


class Line(nn.Module):
    """Something to learn; `unused` is in no loss, and `odd` in that of odd batches alone."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.odd = nn.Linear(3, 1), nn.Linear(3, 1)
        self.unused = nn.Parameter(torch.ones(2, 2))


def loss_of(module: Line, number: int) -> Tensor:
    """Of the batch `number`."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
    told = module.used(x) + (module.odd(x) if number % 2 else 0)
    return (told - x.sum(1, keepdim=True)).square().mean()


def learned(out: Path, together: int, steps: int = STEPS, seed: int = 5) -> dict[str, Tensor]:
    """What is left of a run of one process that has `together` batches a step, or of one of
    several.
    """
    torch.manual_seed(seed + processes.share(0))  # the others' first parameters do not count
    module, found = Line(), dict[str, Tensor]()
    ahead = Ahead(lambda number: number)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        if together == 1:
            return loss_of(module, ahead(step)), {}
        each = [loss_of(module, step * together + k) for k in range(together)]
        return sum(each, torch.zeros(())) / together, {}

    config = LoopConfig(steps, 0.05, warmup=1, log_every=1, save_minutes=1e9)
    run(module, loss, lambda values, *_: found.update(values), config, out)
    return found


def main() -> None:
    """What torchrun runs, once a process; a second run goes on from the checkpoint of the first."""
    out = Path(sys.argv[1])
    found = learned(out, 1, int(sys.argv[2]))
    if found:
        torch.save(found, out / "found.pt")


def several(out: Path, steps: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "tests.scripts.test_processes", str(out), str(steps)]
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
def test_two_processes_learn_what_one_does_of_both_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    done = several(tmp_path / "two", STEPS)
    assert done.returncode == 0, done.stderr[-2000:]
    two = torch.load(tmp_path / "two" / "found.pt", weights_only=True)
    one = learned(tmp_path / "one", 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)
    assert torch.equal(one["unused"], torch.ones(2, 2)), "nobody's gradient is no reason to decay"
    logs = [
        [json.loads(line)["loss"] for line in (tmp_path / n / "log.jsonl").read_text().splitlines()]
        for n in ("one", "two")
    ]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5) and len(logs[1]) == STEPS
    alone = learned(tmp_path / "alone", 1)
    assert not torch.allclose(alone["used.weight"], two["used.weight"]), "it sees half of them"


def test_one_process_is_as_it_was() -> None:
    module = Line()
    loss_of(module, 0).backward()
    before = [p.grad for p in module.parameters()]
    processes.meet(module)
    processes.begin_alike(module, 3)
    processes.end()
    assert all(p.grad is g for p, g in zip(module.parameters(), before, strict=True))
    assert processes.count() == 1 and processes.first() and processes.share(7) == 7
    assert processes.mean_of(torch.tensor(2.5)) == 2.5


def test_the_cluster_passes_the_trainers_own_options_on(capsys: pytest.CaptureFixture) -> None:
    found = on_ray.asked(["speech", "--workers", "3", "--", "--data", "D", "--out", "O", "--tiny"])
    assert (found.trainer, found.workers, found.gpu) == ("speech", 3, False)
    assert found.options == ["--data", "D", "--out", "O", "--tiny"]
    for words, said in ((["motion"], "invalid choice"), (["speech", "--", "--tiny"], "--out")):
        with pytest.raises(SystemExit):
            on_ray.asked(words)
        assert said in capsys.readouterr().err


@pytest.mark.endurance
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("ray")
def test_a_trainer_on_a_ray_cluster(tmp_path: Path) -> None:
    """Two workers on the CPU; the log of both is that of one process for each step."""
    pytest.importorskip("ray.train.torch")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scripts.train.on_ray", "identity", "--workers", "2", "--"),
            *("--tiny", "--steps", "12", "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("world_rank=") + done.stderr.count("world_rank=") >= 2
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [0, 11]
    assert log[1]["loss"] < 0.7 * log[0]["loss"]
    assert read_safetensors(tmp_path / "identity.safetensors")[0]


if __name__ == "__main__":
    main()
