"""The engine ray, on clusters that the test starts on this machine."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.batch.batch import Batch, EngineOptions
from app.batch.driver import BatchConfig
from app.batch.events import Event
from weights.errors import InputError

ray = pytest.importorskip("ray")

# Ray's own threads and sockets are its own business.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("ray"),
]


@pytest.fixture
def cluster(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A head without cores for work, and two nodes with one worker's room each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
    made = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=80_000_000)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_a_node_is_lost_and_an_actor_is_killed(
    make_batch: Callable[..., Batch], tiny: Path, cluster
) -> None:
    """Models are loaded once an actor, the items in flight are made elsewhere, a new node is used
    when it comes, and the files are those that one process makes.
    """
    (tiny / "kill-5").touch()
    seen: list[Event] = []

    def lose_a_node(event: Event) -> None:
        seen.append(event)
        if event.name == "done" and event.counts["done"] == 8:
            cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=80_000_000)

    batch = make_batch(24, engine=EngineOptions("ray", address=cluster.address))
    summary = batch.run([lose_a_node])
    assert summary.counts == {"pending": 0, "running": 0, "done": 24, "failed": 0}
    assert summary.deaths >= 2
    workers = {event.data["worker"] for event in seen if event.name == "done"}
    assert len({name.partition("@")[2] for name in workers}) >= 3, "nodes that made something"
    assert len(workers) <= 6, "an actor makes many videos"
    assert seen[0].data == {"engine": "ray", "workers": 2}
    report = json.loads((Path(batch.out) / "report.json").read_text())
    alone = replace(batch, out=f"{batch.out}-alone", engine=EngineOptions(workers=0))
    alone.run()
    again = json.loads((Path(alone.out) / "report.json").read_text())
    hashes = [[item["sha256"] for item in r["items"]] for r in (report, again)]
    assert hashes[0] == hashes[1]


def test_a_poisoned_item_on_a_cluster_of_this_machine(
    make_batch: Callable[..., Batch], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address Ray runs here; the item that kills its actor is given up."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tiny / "poison-1").touch()
    options = EngineOptions("ray", workers=1, cpus=0.5)
    batch = make_batch(3, engine=options, config=BatchConfig(retry=1))
    summary = batch.run()
    assert (summary.counts["done"], summary.counts["failed"], summary.deaths) == (2, 1, 2)
    report = json.loads((Path(batch.out) / "report.json").read_text())
    assert "the worker died on it: ActorDiedError" in report["items"][1]["error"]
    assert not ray.is_initialized()


def test_what_cannot_be_had_is_said(make_batch: Callable[..., Batch]) -> None:
    with pytest.raises(InputError, match="a worker wants"):
        make_batch(1, engine=EngineOptions("ray", gpus=99.0)).run()
    assert not ray.is_initialized()
    with pytest.raises(InputError, match="no Ray cluster answers"):
        os.environ.pop("RAY_ADDRESS", None)
        make_batch(1, engine=EngineOptions("ray", address="127.0.0.1:1")).run()
    with pytest.raises(InputError, match="they are for --engine ray"):
        EngineOptions("local", address="auto")
