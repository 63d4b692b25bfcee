"""The batch tab: a manifest with its files in, a table of states, and all videos as one file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from app.intake.sandbox import Check
from app.render.pipeline import Avatar
from app.studio.screens import markup
from app.studio.screens.coming_back import Back, follow_again
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import cancel_all, error_of, fail, follow, page_of, submit
from app.studio.screens.visitors import Visitor
from app.studio.visitor_batch import VisitorBatch, make_all, read_upload
from app.studio.workshop import Desk, Workshop
from weights.errors import InputError, VisavisError

_HEADERS = ["row", "video", "state", "notes"]
_HELP = (
    "Upload a manifest (.jsonl or .csv: one row a video, in the words of `visavis render`, such as "
    "portrait, text, agent_audio, emotion, output) together with the files that it names."
)


_SCREEN = "batch"


def build(workshop: Workshop) -> Back:
    """Lay the screen out and connect it; returned is how it comes back."""
    import gradio as gr

    gr.HTML(markup.note(_HELP))
    files = gr.File(
        label="Manifest and files",
        file_count="multiple",
        type="filepath",
        height=170,
        elem_id="batch-files",
    )
    with gr.Row():
        start = gr.Button("Make all", variant="primary", elem_id="batch-start")
        retry = gr.Button("Retry what failed", interactive=False, elem_id="batch-retry")
        cancel = gr.Button("Cancel", interactive=False, elem_id="batch-cancel")
    status = gr.HTML(elem_id="batch-status")
    table = gr.HTML(elem_id="batch-table")
    packed = gr.File(label="All videos (.zip)", interactive=False, visible=False, elem_id="batch")
    outputs = [status, table, packed, start, retry, cancel]
    start.click(
        endpoint(_start, workshop, ("files",)),
        files,
        outputs,
        api_name="batch",
        api_description="Make every video of a manifest; the last answer has them as a zip file.",
        concurrency_limit=None,
        show_progress="hidden",
    )
    retry.click(
        endpoint(_retry, workshop, ()),
        None,
        outputs,
        api_name="batch_retry",
        concurrency_limit=None,
        show_progress="hidden",
    )
    cancel.click(
        endpoint(cancel_all, workshop, ()), None, None, api_visibility="private", queue=False
    )
    return lambda entered: follow_again(entered, workshop, _SCREEN, _follow, outputs)


async def _start(
    workshop: Workshop, visitor: Visitor, files: Sequence[str] | None
) -> AsyncIterator[list[Any]]:
    page = page_of(workshop, visitor)
    try:
        if not files:
            raise InputError("there are no files yet: upload a manifest and the files it names")
        paths = [Path(file) for file in files]
        batch = await asyncio.to_thread(read_upload, paths, page.new_folder(), workshop.limits)
    except VisavisError as error:
        yield _refused(markup.without_paths(str(error), files or ()))
        fail(error, files or (), told=True)
    page.batch = batch
    async for shown in _begin(workshop, visitor, batch):
        yield shown


async def _retry(workshop: Workshop, visitor: Visitor) -> AsyncIterator[list[Any]]:
    batch = page_of(workshop, visitor).batch
    if batch is None:
        fail("there is no batch to try again")
    async for shown in _begin(workshop, visitor, batch):
        yield shown


async def _begin(
    workshop: Workshop, visitor: Visitor, batch: VisitorBatch
) -> AsyncIterator[list[Any]]:
    def avatar(check: Check) -> Avatar:
        return workshop.avatar(check=check)

    desk = page_of(workshop, visitor).desk(_SCREEN)
    desk.errand = submit(
        workshop, visitor, partial(make_all, batch, avatar, workshop.limits), len(batch.left())
    )
    desk.made_of = batch
    async for shown in _follow(workshop, visitor, desk):
        yield shown


async def _follow(workshop: Workshop, visitor: Visitor, desk: Desk) -> AsyncIterator[list[Any]]:
    """How a batch goes, from now to its end."""
    import gradio as gr

    run, page = desk.errand, page_of(workshop, visitor)
    batch = page.batch
    if run is None or batch is None or batch is not desk.made_of:
        return
    on, off, keep = gr.update(interactive=True), gr.update(interactive=False), gr.update()
    async for html in follow(run, lasting=page.tab is not None):
        yield [html, _table(batch), keep, off, off, on]
    failed = any(entry.state != "done" for entry in batch.entries)
    again = on if failed else off
    if error := error_of(run):
        yield [markup.alert(error), _table(batch), keep, on, again, off]
        fail(error, told=True)
    packed = batch.pack()
    shown = keep if packed is None else gr.update(value=str(packed), visible=True)
    done = sum(entry.state == "done" for entry in batch.entries)
    said = markup.done(f"{done} of {len(batch.entries)} videos are made.")
    yield [said, _table(batch), shown, on, again, off]


def _refused(sentence: str) -> list[Any]:
    """Why an upload is no batch, until another one is tried."""
    import gradio as gr

    keep = gr.update()
    return [markup.alert(sentence), "", gr.update(visible=False), keep, keep, keep]


def _table(batch: VisitorBatch) -> str:
    return markup.grid(_HEADERS, batch.rows())
