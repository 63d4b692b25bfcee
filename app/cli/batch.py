"""`visavis batch`: many videos. Its options that a row may have too are those of a request."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from app.batch.batch import LEDGER, Batch, EngineKind, EngineOptions
from app.batch.driver import BatchConfig, Summary
from app.batch.estimate import Estimate
from app.batch.events import Listener, bar, json_lines
from app.batch.manifest import Schema
from app.batch.work import DEFAULT_AVATAR, AvatarSettings
from app.cli.option_group import takes
from app.cli.reporter import Reporter
from app.cli.shell import print_result
from app.render.loading import LoadSettings
from app.render.request import RenderRequest

Manifest = Annotated[
    str, typer.Argument(help="A .jsonl, .csv or .parquet file: one row a video; also s3://, gs://.")
]
Out = Annotated[str, Option("--out", help="Folder of the videos; also s3://..., gs://...")]
Engine = Annotated[EngineKind, Option("--engine", help="Processes here, or a Ray cluster.")]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        help="How many videos at a time; 0: in this very process.",
        show_default="1, or what fits on the cluster",
    ),
]
Address = Annotated[
    str | None,
    Option(
        "--address",
        help="Of a Ray cluster: auto, host:port or ray://host:port.",
        show_default="a cluster of this machine alone",
    ),
]
Cpus = Annotated[float, Option("--cpus", help="Cores of a node for each worker (Ray).")]
Gpus = Annotated[float, Option("--gpus", help="Share of a GPU for each worker (Ray), e.g. 0.25.")]
Retry = Annotated[
    int, Option("--retry", help="How often a video is tried again; bad input never is.")
]
FailFast = Annotated[bool, Option("--fail-fast", help="Stop at the first video that fails.")]
MaxFailures = Annotated[
    int | None, Option("--max-failures", help="Stop when more videos than this have failed.")
]
KeepFailed = Annotated[
    bool, Option("--keep-failed", help="Leave alone what failed in an earlier run.")
]
Timeout = Annotated[
    float | None, Option("--timeout", help="Seconds after which a worker is taken to hang.")
]
Split = Annotated[
    float | None,
    Option("--split", help="Make videos longer than this many seconds in parts, in parallel."),
]
LedgerFile = Annotated[
    Path | None,
    Option("--ledger", help="Where it is written down what is done.", show_default=f"OUT/{LEDGER}"),
]
DryRun = Annotated[bool, Option("--dry-run", help="Check the manifest and say what it will take.")]
Price = Annotated[float | None, Option("--price", help="Of an hour of one worker, for --dry-run.")]
MetricsPort = Annotated[
    int | None, Option("--metrics-port", help="Serve Prometheus metrics on this port.")
]
MetricsHost = Annotated[str, Option("--metrics-host", help="Address that metrics are served on.")]
MetricsFile = Annotated[
    Path | None, Option("--metrics-file", help="Write metrics for the textfile collector.")
]
AsEvents = Annotated[
    bool, Option("--json", help="JSON lines on stdout: one an event, the last one the summary.")
]
AvatarPath = Annotated[str, Option("--avatar", hidden=True, help="module:function")]


@takes("defaults", RenderRequest, optional=True)
@takes("loading", LoadSettings)
def batch(
    defaults: dict[str, Any],
    loading: dict[str, Any],
    manifest: Manifest,
    out: Out,
    engine: Engine = EngineOptions.kind,
    workers: Workers = EngineOptions.workers,
    address: Address = EngineOptions.address,
    cpus: Cpus = EngineOptions.cpus,
    gpus: Gpus = EngineOptions.gpus,
    retry: Retry = BatchConfig.retry,
    fail_fast: FailFast = BatchConfig.fail_fast,
    max_failures: MaxFailures = BatchConfig.max_failures,
    keep_failed: KeepFailed = Batch.keep_failed,
    timeout: Timeout = EngineOptions.timeout,
    split: Split = BatchConfig.split,
    ledger: LedgerFile = Batch.ledger,
    dry_run: DryRun = False,
    price: Price = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_file: MetricsFile = None,
    as_json: AsEvents = False,
    avatar: AvatarPath = DEFAULT_AVATAR,
) -> None:
    """Make many videos: what is done stays done, whatever happens, and is not done twice.

    Rows of the manifest have the names of render's options as words (agent_audio for
    --agent-audio), and `output`. The options below that a row may have too are for rows that
    do not have them. Exit code 1 when something failed.
    """
    settings = AvatarSettings(avatar, **loading)
    schema = Schema()
    made = Batch(
        manifest,
        out,
        {name: schema.read(name, value) for name, value in defaults.items()},
        settings,
        EngineOptions(engine, workers, timeout, address, cpus, gpus),
        BatchConfig(retry, fail_fast, max_failures, split),
        ledger,
        keep_failed,
    )
    if dry_run:
        found = made.estimate()
        print_result(found.to_json(price), _in_words(found, price), as_json)
        return
    reporter = Reporter()
    with _listeners(reporter, metrics_port, metrics_host, metrics_file, as_json) as listeners:
        summary = made.run(listeners, reporter.notify)
    print_result({"event": "ended", **summary.to_json()}, _told(summary, made.folder), as_json)
    if not summary.complete:
        raise typer.Exit(1)


@contextlib.contextmanager
def _listeners(
    reporter: Reporter, port: int | None, host: str, file: Path | None, as_json: bool
) -> Iterator[list[Listener]]:
    """Who hears what happens: the bar on the terminal, JSON lines, metrics."""
    from app.batch.metrics import metrics

    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(reporter.progress("videos"))
        listeners: list[Listener] = [bar(progress, reporter.notify)]
        if as_json:
            listeners.append(json_lines)
        if port is not None or file is not None:
            listeners.append(stack.enter_context(metrics(port, host, file)))
        yield listeners


def _told(summary: Summary, folder: str) -> str:
    counts = summary.counts
    return (
        f"{counts['done']} of {sum(counts.values())} videos are in {folder}: {summary.made} "
        f"made now in {summary.seconds:.1f} s ({summary.video_seconds:.1f} s of video), "
        f"{summary.skipped} were there, {counts['failed']} failed, "
        f"{counts['pending']} to do{'' if summary.stopped is None else f' ({summary.stopped})'}; "
        f"see report.html there"
    )


def _in_words(found: Estimate, price: float | None) -> str:
    values = found.to_json(price)
    cost = "" if values["price"] is None else f", price {values['price']:.2f}"
    return (
        f"{found.wanted} of {found.items} videos are to be made: {found.video_seconds:.1f} s of "
        f"video, {found.frames} frames. At {values['frames_per_second'] or 0:g} frames/s and "
        f"{found.cost.item_s:.2f} s a video ({found.cost.source}) that is "
        f"{found.work_seconds:.0f} s of work, {found.wall_seconds:.0f} s with {found.workers} "
        f"workers{cost}"
        + (f"; the length of {found.unknown} is not known" if found.unknown else "")
    )
