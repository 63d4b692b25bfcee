"""gradio's Blocks, which here never touch a file: a visitor's come in and go out as handles.

gradio would copy any file whose path it is told into a folder that it serves, fetch addresses, and
open pictures with every decoder there is. So no value of a file component ever reaches it: what
comes in is exchanged for a file of this very page, what goes out for a handle.
"""

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread

from app.studio.screens.turns import TURNS_ID
from app.studio.screens.visitors import Visitor, visitor_of
from app.studio.turn_rows import exchanged
from app.studio.workshop import Workshop
from weights.errors import InputError, VisavisError

_META = {"_type": "gradio.FileData"}
_USER, _PROGRAM = "x-gradio-user", "api"
"""The header by which gradio_client says that it is no page."""
_asking: ContextVar[Visitor | None] = ContextVar("visavis-visitor", default=None)
_plainly: ContextVar[bool] = ContextVar("visavis-plainly", default=False)

if TYPE_CHECKING:
    from gradio import Blocks
else:
    Blocks = object  # gradio takes seconds to import: `own_blocks` does it


def own_blocks(workshop: Workshop, title: str) -> Blocks:
    """Blocks whose files are those of a workshop's visitors."""
    import gradio as gr

    class OwnBlocks(_OwnFiles, gr.Blocks):
        pass

    return OwnBlocks(workshop, title)


class _OwnFiles(Blocks):
    """What differs from gradio's Blocks."""

    def __init__(self, workshop: Workshop, title: str) -> None:
        self.workshop = workshop
        super().__init__(analytics_enabled=False, title=title, fill_width=True)

    async def process_api(
        self,
        block_fn: Any,
        inputs: list[Any],
        state: Any = None,
        request: Any = None,
        *rest: Any,
        **named: Any,
    ) -> dict[str, Any]:
        """As gradio's, whose further arguments it hands on; remembers who asks."""
        if (event := named.get("event_data")) is not None:
            event._data = _place_in(event._data)
        one = request[0] if isinstance(request, list) else request
        token = _asking.set(None if one is None or not one.session_hash else visitor_of(one))
        asks = one is not None and one.request is not None
        plain = _plainly.set(asks and one.request.headers.get(_USER) == _PROGRAM)
        try:
            return await super().process_api(block_fn, inputs, state, request, *rest, **named)
        finally:
            _plainly.reset(plain)
            _asking.reset(token)

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """As gradio's, with the files of the visitor in their places."""
        if len(inputs) != len(block_fn.inputs):
            raise _refusal(
                f"got {len(inputs)} values; wanted {len(block_fn.inputs)}",
            )
        given: dict[int, Any] = {}
        try:
            for i, block in enumerate(block_fn.inputs):
                if _is_file(block):
                    many = getattr(block, "file_count", "single") != "single"
                    given[i] = await anyio.to_thread.run_sync(self._claimed, inputs[i], many)
                elif _is_turns(block):
                    _require_plain(inputs[i])
                    given[i] = await anyio.to_thread.run_sync(self._claimed_rows, inputs[i])
                else:
                    _require_plain(inputs[i])
        except VisavisError as error:
            raise _refusal(str(error)) from None
        without = [None if i in given else value for i, value in enumerate(inputs)]
        read = await super().preprocess_data(block_fn, without, state, explicit_call)
        return [given.get(i, value) for i, value in enumerate(read)]

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As gradio's, with a handle for each file of ours; programs are told of the file alone,
        and not how a page shows it.
        """
        if not any(_is_file(block) or _is_turns(block) for block in block_fn.outputs):
            return await super().postprocess_data(block_fn, predictions, state)
        left = [predictions] if len(block_fn.outputs) == 1 else list(predictions)
        made: dict[int, Any] = {}
        for i, (block, value) in enumerate(zip(block_fn.outputs, left, strict=True)):
            isupdate = isinstance(value, dict) and value.get("__type__") == "update"
            file = value.get("value") if isupdate else value
            if _is_file(block) and file not in (None, _ended()):
                made[i] = await anyio.to_thread.run_sync(self._handed, file)
                left[i] = {**value, "value": None} if isupdate else None
            elif _is_turns(block) and isinstance(value, str):
                left[i] = await anyio.to_thread.run_sync(self._handed_rows, value)
        told = left[0] if len(left) == 1 else left
        shown = await super().postprocess_data(block_fn, told, state)
        for i, data in made.items():
            if isinstance(shown[i], dict):
                shown[i]["value"] = data
            else:
                shown[i] = data
        if _plainly.get():
            for i, block in enumerate(block_fn.outputs):
                if _is_file(block) and isinstance(shown[i], dict) and "__type__" in shown[i]:
                    shown[i] = shown[i].get("value")
        return shown

    def get_config_file(self) -> Any:
        """As gradio's; the files of the page itself, which are public, by handle."""
        return _mapped(super().get_config_file(), self._public)

    def _public(self, file: dict[str, Any]) -> dict[str, Any]:
        if file["path"].startswith("https://"):  # gradio's own, in what its API page shows
            return file
        path = Path(file["path"])
        return _file_data(path, self.workshop.files.public_handle(path))

    def _claimed(self, value: Any, many: bool) -> Any:
        """The path of the file, or of each file, that a page says it has uploaded."""
        if value in (None, "", []):
            return None
        visitor = _asking.get()
        if visitor is None:
            raise InputError("the request names no page (session_hash), so it has no files")
        if many:
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise InputError("wanted a list of files that were uploaded here")
            return [self._claimed(item, False) for item in value if item]
        handle = value.get("path") if isinstance(value, dict) else value
        page = self.workshop.page(visitor.key, visitor.owner, visitor.came)
        return str(self.workshop.files.claim(handle, page.owner, page.key))

    def _claimed_rows(self, value: Any) -> str | None:
        """Rows whose recordings are paths of files that the page has uploaded."""
        if not isinstance(value, str):
            return None
        return exchanged(value, lambda handle: self._claimed(handle, False))

    def _handed_rows(self, rows: str) -> str:
        """What the page is told of turns, whose recordings are the visitor's."""
        return exchanged(rows, lambda path: self._handed(path)["path"])

    def _handed(self, path: Any) -> dict[str, Any]:
        """What the page is told of a file that was made for its visitor."""
        visitor = _asking.get()
        if visitor is None:
            raise ValueError("a file was made for nobody")
        path = Path(path)
        return _file_data(path, self.workshop.files.show(path, visitor.owner))


@functools.cache
def _file_kinds() -> tuple[type, ...]:
    from gradio import components

    return (components.Image, components.Audio, components.Video, components.File)


def _is_file(block: object) -> bool:
    return isinstance(block, _file_kinds())


def _is_turns(block: object) -> bool:
    """Whether it has rows in which files are named."""
    return getattr(block, "elem_id", None) == TURNS_ID


def _ended() -> object:
    """What gradio puts for each value at the end."""
    from gradio import components

    return components._Keywords.FINISHED_ITERATING


def _refusal(message: str) -> Exception:
    """An error for the page, of which the log says nothing."""
    import gradio as gr

    return gr.Error(message, print_exception=False)


def _file_data(path: Path, handle: str) -> dict[str, Any]:
    return {
        "path": handle,
        "url": f"/gradio_api/file={quote(handle)}",
        "orig_name": path.name,
        "size": path.stat().st_size,
        "mime_type": None,
        "is_stream": False,
        "meta": dict(_META),
    }


def _require_plain(value: Any) -> None:
    """Raise InputError for a file where none belongs: gradio would look for it."""
    if isinstance(value, dict):
        if {"path", "url", "meta"} & value.keys():
            raise InputError("got a file where none belongs")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _require_plain(item)


def _place_in(data: Any) -> Any:
    """What a page tells of a click, less the value that was clicked on: it may hold a file, and
    none of ours looks at it.
    """
    index = data.get("index") if isinstance(data, dict) else None
    parts = index if isinstance(index, list) else [index]
    known = all(isinstance(part, int | float | str) for part in parts)
    return {"index": index if known else None, "value": None}


def _mapped(value: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """A copy with every file in it changed."""
    if isinstance(value, dict):
        if value.get("meta") == _META and isinstance(value.get("path"), str):
            return change(value)
        return {name: _mapped(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value
