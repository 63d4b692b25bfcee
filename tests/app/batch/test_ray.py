"""The engine ray, on clusters that the test starts on this machine."""

import importlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import app.cli.commands as cli
from app.batch.batch import Batch, EngineOptions
from app.batch.driver import BatchConfig
from app.batch.events import Event
from tests.app.batch.tiny import FACTORY
from weights.errors import InputError

ray = pytest.importorskip("ray")

# Ray's own threads and sockets are its own business.
pytestmark = [
    pytest.mark.endurance,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("ray"),
]


MEMORY = 80_000_000  # bytes of shared memory, the least that Ray takes


@pytest.fixture
def cluster(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A head without cores for work, and two nodes with one worker's room each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = start(Cluster)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def start(kind: type, tries: int = 3) -> Any:
    """Ray gives each node 30 s to come up, which a busy machine may not make at once."""
    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
    made = kind(initialize_head=False)
    try:
        made.add_node(**arguments)
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=MEMORY)
        made.wait_for_nodes(timeout=120)
    except Exception:
        made.shutdown()
        if tries == 1:
            raise
        return start(kind, tries - 1)
    return made


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
            # The worker that has just reported is about to get its next task.
            lost = event.data["worker"].partition("@")[2]
            (node,) = (n for n in cluster.worker_nodes if n.node_id.startswith(lost))
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

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


# -- the page on clusters ------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cluster.md"


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def documents() -> dict[str, dict[str, Any]]:
    """The page's YAML, by kind."""
    loaded = [yaml.safe_load(block) for block in blocks("yaml")]
    return {document.get("kind", "ray up"): document for document in loaded}


def test_the_pages_files_are_what_ray_knows() -> None:
    """`ray up`'s file passes Ray's own schema; KubeRay's hold what their kinds want."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    found = documents()
    assert set(found) == {"ray up", "RayJob", "RayService"}
    validate_config(prepare_config(found["ray up"]))
    for kind, key in (("RayJob", "rayClusterSpec"), ("RayService", "rayClusterConfig")):
        document = found[kind]
        assert document["apiVersion"] == "ray.io/v1" and document["metadata"]["name"]
        cluster = document["spec"][key]
        assert cluster["rayVersion"] == ray.__version__
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert group["template"]["spec"]["containers"] and "rayStartParams" in group


def test_the_pages_service_is_what_serve_knows() -> None:
    from ray.serve.schema import ServeDeploySchema

    from app.api.ray_serve import ServiceConfig

    config = yaml.safe_load(documents()["RayService"]["spec"]["serveConfigV2"])
    (made,) = ServeDeploySchema.model_validate(config).applications
    module, _, name = made.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert ServiceConfig.read(dict(made.args)).most == 16


def test_the_pages_command_runs_on_a_cluster(
    make_batch: Callable[..., Batch], tiny: Path, cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is written, but for the store, the GPUs and where the cluster is."""
    job = shlex.split(documents()["RayJob"]["spec"]["entrypoint"])
    (line,) = (line for block in blocks("bash") for line in block.splitlines())
    assert job[: len(shlex.split(line))] == shlex.split(line)
    batch = make_batch(4)
    here = {
        "s3://studio/manifest.jsonl": batch.manifest,
        "s3://studio/videos": batch.out,
        "auto": cluster.address,
        "0.25": "0",
        "/ledger/batch.sqlite": f"{batch.out}.sqlite",
    }
    words = [here.get(word, word) for word in job[1:]]
    assert cli.main([*words, "--size", "64", "--avatar", FACTORY]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["made"] == 4
