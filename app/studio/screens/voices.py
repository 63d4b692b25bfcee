"""Of the first screen: what the person says and in which voice, and whom they listen to."""

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from app.studio.creation import write_reply
from app.studio.screens.endpoints import endpoint
from app.studio.screens.follow import fail, page_of
from app.studio.screens.form import (
    Form,
    Says,
    component,
    heard_choices,
    label_of,
    sample_of,
    voice_choices,
)
from app.studio.screens.turns import add_turns
from app.studio.screens.visitors import Visitor
from app.studio.workshop import Workshop
from weights.errors import VisavisError

if TYPE_CHECKING:
    import gradio as gr


def add_voices(parts: dict[str, Any], workshop: Workshop) -> None:
    """The components of what the person says and whom they listen to, by the form's fields."""
    import gradio as gr

    with gr.Group():
        parts["says"] = gr.Radio(
            list(get_args(Says)), value=Form.says, label="What the person says", elem_id="says"
        )
        parts["text"] = gr.Textbox(
            **component("text"),
            lines=3,
            max_length=workshop.limits.max_text,
            elem_id="text",
        )
        with gr.Row(elem_classes="v-tight") as voice:
            parts["voice"] = gr.Dropdown(
                voice_choices(), **component("voice", info=False), elem_id="voice"
            )
            hear = gr.Button("Hear it", elem_id="hear", min_width=90, scale=0)
        sample = gr.Audio(
            visible=False, label="How it sounds", autoplay=True, elem_id="sample", buttons=[]
        )
        hear.click(
            endpoint(_sample, workshop, ("voice",)),
            parts["voice"],
            sample,
            api_name="voice_sample",
            api_description="A sentence in one of the voices.",
            concurrency_limit=1,
        )
        asking = [] if workshop.endpoint is None else [_asking(parts, workshop)]
        parts["agent_audio"] = gr.Audio(
            label=label_of("agent_audio"),
            type="filepath",
            sources=["upload", "microphone"],
            visible=False,
            elem_id="agent-audio",
            buttons=[],
        )
        editor = add_turns(parts, workshop.limits)
    other = _add_other(parts)
    shown = [parts["agent_audio"], parts["text"], voice, sample, editor, other, *asking]
    show = partial(_show_voice, len(asking))
    parts["says"].change(show, parts["says"], shown, api_visibility="private", queue=False)


def _add_other(parts: dict[str, Any]) -> "gr.Column":
    """Whom the person listens to, and whose voices the video has; returned is what only counts
    where there is no dialogue.
    """
    import gradio as gr

    with gr.Accordion("The other person, whom the portrait listens to", open=False):
        with gr.Column() as alone:
            parts["interlocutor_audio"] = gr.Audio(
                label=label_of("interlocutor_audio"),
                type="filepath",
                sources=["upload", "microphone"],
                elem_id="interlocutor-audio",
                buttons=[],
            )
            parts["interlocutor_video"] = gr.Video(
                label=label_of("interlocutor_video"),
                sources=["upload", "webcam"],
                elem_id="interlocutor-video",
                buttons=[],
                height=280,
            )
            parts["order"] = gr.Radio(**component("order"), elem_id="order")
        parts["mix"] = gr.Radio(
            heard_choices(),
            value=Form.mix,
            label=label_of("mix"),
            info="As it fits: the person's, and the other's too in a dialogue, or where the person "
            "says nothing",
            elem_id="mix",
        )
        parts["pause"] = gr.Number(**component("pause"), step=0.1, elem_id="pause")
    return alone


def _show_voice(asking: int, says: Says) -> list[Any]:
    """The recording, or the parts of a text, of which `asking` ask for one; no sample yet."""
    import gradio as gr

    written = says == "a text"
    talk = says == "a dialogue"
    visible = [says == "a recording", written, written or talk, False, talk, not talk]
    visible += [written] * asking
    return [gr.update(visible=v) for v in visible]


def _sample(workshop: Workshop, visitor: Visitor, voice: str) -> Any:
    """What a voice sounds like, as the player shows it."""
    import gradio as gr

    try:
        page = page_of(workshop, visitor)
        path = page.samples.get(voice)
        if path is None or not path.exists():
            path = sample_of(voice).save(page.new_folder() / f"{voice}.wav")
            page.samples[voice] = path
    except VisavisError as error:
        fail(error)
    return gr.update(value=str(path), visible=True)


def _asking(parts: dict[str, Any], workshop: Workshop) -> "gr.Row":
    """The row in which a language model is asked for the text."""
    import gradio as gr

    with gr.Row(elem_classes="v-tight") as row:
        prompt = gr.Textbox(
            label="or a language model writes it: ask it something",
            max_length=workshop.limits.max_text,
            elem_id="prompt",
        )
        ask = gr.Button("Ask", elem_id="ask", min_width=70, scale=0)
    gr.on(
        [ask.click, prompt.submit],
        endpoint(_reply, workshop, ("prompt",)),
        prompt,
        parts["text"],
        api_name="reply",
        api_description="What the server's language model answers, as a text to be said.",
        concurrency_limit=2,
    )
    return row


def _reply(workshop: Workshop, visitor: Visitor, prompt: str) -> str:
    try:
        return write_reply(workshop, page_of(workshop, visitor), prompt)
    except VisavisError as error:
        fail(error)
