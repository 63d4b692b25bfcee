"""Drop-downs in the language of the browser: their entries are values of gradio's, which no script
of ours changes in their place.
"""

from typing import TYPE_CHECKING, Any

from app.studio import words
from app.studio.screens.endpoints import endpoint
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop

if TYPE_CHECKING:
    import gradio as gr

_LANGUAGE_SCRIPT = "() => window.visavisLanguage"


def add_languages(workshop: Workshop, blocks: "gr.Blocks") -> None:
    """Let a page's drop-downs speak its language; call it when all of them are laid out. What is
    chosen stays.
    """
    import gradio as gr

    lists = [part for part in blocks.blocks.values() if isinstance(part, gr.Dropdown)]
    entries = [[(str(entry), value) for entry, value in part.choices] for part in lists]

    def told(workshop: Workshop, visitor: Visitor, language: str | None) -> list[Any]:
        if language not in words.LANGUAGES:
            return [gr.skip()] * len(lists)
        return [gr.update(choices=in_language(each, language)) for each in entries]

    language = gr.Textbox(visible=False, label="The page's language")
    blocks.load(
        endpoint(told, workshop, ("language",)),
        language,
        lists,
        js=_LANGUAGE_SCRIPT,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )


def in_language(entries: list[tuple[str, Any]], language: str) -> list[tuple[str, Any]]:
    """(shown, value) of a drop-down, shown in one of LANGUAGES."""
    return [(words.shown(entry, language), value) for entry, value in entries]
