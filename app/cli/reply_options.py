"""The options for a language model's reply, for every command in which the agent can speak."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from app.cli.option_group import spelled_out

_OPTIONS: dict[str, Any] = {
    "ask": Annotated[
        str | None, Option("--ask", help="Ask a language model this; the agent speaks its reply.")
    ],
    "persona": Annotated[
        str | None, Option("--persona", help="Who the agent is, for the model's system prompt.")
    ],
    "llm_url": Annotated[
        str | None,
        Option(
            "--llm-url",
            help="OpenAI-compatible endpoint, e.g. http://localhost:8000/v1.",
            show_default="VISAVIS_LLM_BASE_URL, OPENAI_BASE_URL",
        ),
    ],
    "llm_model": Annotated[
        str | None, Option("--llm-model", help="Chat model.", show_default="VISAVIS_LLM_MODEL")
    ],
    "llm_key_file": Annotated[
        Path | None,
        Option(
            "--llm-key-file",
            help="File with the endpoint's key.",
            show_default="VISAVIS_LLM_API_KEY, OPENAI_API_KEY",
        ),
    ],
    "speech_model": Annotated[
        str | None,
        Option(
            "--speech-model",
            help="The endpoint's speech model.",
            show_default="VISAVIS_SPEECH_MODEL, else espeak-ng speaks",
        ),
    ],
    "speech_voice": Annotated[
        str | None,
        Option(
            "--speech-voice", help="Its voice.", show_default="VISAVIS_SPEECH_VOICE, else alloy"
        ),
    ],
    "reply_codes": Annotated[
        bool,
        Option(
            "--reply-codes/--no-reply-codes",
            help="Follow codes in brackets in what is said, such as nod; --emotion wins over them.",
        ),
    ],
}

_ENDPOINT = ("llm_url", "llm_model", "llm_key_file", "speech_model", "speech_voice")

with_reply = spelled_out("answer", _OPTIONS)
"""The command with each of these options instead of its argument `answer`."""
with_endpoint = spelled_out("endpoint", {name: _OPTIONS[name] for name in _ENDPOINT})
"""As `with_reply`, with those options alone that say where a language model is."""
