"""`visavis app`: the API and the studio, in one process."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from app.api.ice import TURN_SECRET_VARIABLE
from app.api.pulse import Pulse
from app.api.run import address_of, listen, serve
from app.api.settings import KEYS_VARIABLE, ServerConfig, default_data_dir, read_keys
from app.cli.option_group import takes
from app.intake.limits import Limits, SetLimits
from app.render.loading import PROVENANCE, LoadSettings, offered
from app.render.request import MotionRequest
from audio2motion.voice.endpoint import Endpoint
from weights.errors import DependencyError
from weights.installation import how_to_add

_ENDPOINT = ("llm_url", "llm_model", "llm_key_file", "speech_model", "speech_voice")

Host = Annotated[str, Option("--host", help="Address to listen on; 0.0.0.0 opens it to others.")]
Port = Annotated[int, Option("--port", help="Port to listen on; 0 takes a free one.")]
KeysFile = Annotated[
    Path | None,
    Option(
        "--keys-file", help=f"API keys, one a line; else those in {KEYS_VARIABLE}. None: no key."
    ),
]
Cors = Annotated[
    list[str] | None,
    Option("--cors", help="Origin whose pages may call, e.g. https://example.org; repeatable."),
]
AllowHost = Annotated[
    list[str] | None,
    Option("--allow-host", help="Another name under which this server is reached; repeatable."),
]
DataDir = Annotated[
    Path | None,
    Option("--data-dir", help="Where jobs and files are.", show_default="of this user"),
]
LanguageModel = Annotated[
    bool,
    Option("--llm", help="Visitors may ask the language model that flags or environment name."),
]
Proxy = Annotated[
    list[str] | None,
    Option(
        "--forwarded-allow-ips",
        help="Address or network of a proxy whose X-Forwarded-For is believed; repeatable.",
    ),
]
LiveNotice = Annotated[
    str,
    Option(
        "--live-notice",
        help="What a live conversation shows its visitor; empty for nothing, which is logged.",
    ),
]
IceServer = Annotated[
    list[str] | None,
    Option(
        "--ice-server",
        help="STUN or TURN server for WebRTC, e.g. turn:turn.example.org:3478; repeatable. The "
        f"secret that TURN shares is in {TURN_SECRET_VARIABLE}.",
    ),
]
WebRtc = Annotated[
    bool | None,
    Option(
        "--webrtc/--no-webrtc",
        help="Live sound and pictures over WebRTC too; UDP ports are opened on every network.",
        show_default="where the extra is there and --host opens the server to others",
    ),
]
NoStudio = Annotated[bool, Option("--no-studio", help="The API alone.")]


@takes("endpoint", MotionRequest, _ENDPOINT)
@takes("chosen", SetLimits)
@takes(
    "loading",
    LoadSettings,
    (
        *("steps", "detector", "speech_encoder", "device", "weights_dir", "offload", "slicing"),
        *PROVENANCE,
    ),
)
def app(
    endpoint: dict[str, Any],
    chosen: dict[str, Any],
    loading: dict[str, Any],
    host: Host = ServerConfig.host,
    port: Port = ServerConfig.port,
    keys_file: KeysFile = None,
    cors: Cors = None,
    allow_host: AllowHost = None,
    data_dir: DataDir = None,
    forwarded_allow_ips: Proxy = None,
    ice_server: IceServer = None,
    webrtc: WebRtc = None,
    llm: LanguageModel = False,
    live_notice: LiveNotice = ServerConfig.live_notice,
    no_studio: NoStudio = False,
) -> None:
    """Serve the API under /v1, and the studio, until Ctrl-C."""
    _require_server()
    from app.api.app import create_app
    from app.cli.reporter import Reporter
    from app.render.pipeline import Avatar
    from app.studio.mount import mount_studio

    if data_dir is not None and loading["provenance_dir"] is None:
        loading["provenance_dir"] = data_dir / "provenance"
    settings = LoadSettings(**loading)
    origins, renderers = settings.origins, offered(settings)
    limits = replace(Limits.having(chosen), renderers=renderers)
    config = ServerConfig(
        data_dir or default_data_dir(),
        host,
        port,
        read_keys(keys_file),
        tuple(cors or ()),
        tuple(name.lower() for name in allow_host or ()),
        _endpoint(endpoint) if llm or any(endpoint.values()) else None,
        limits,
        tuple(forwarded_allow_ips or ()),
        live_notice,
        origins,
        tuple(ice_server or ()),
        os.environ.get(TURN_SECRET_VARIABLE) or None,
        webrtc,
        **({"drawing": settings.reference} if len(renderers) > 1 else {}),
    )
    reporter = Reporter()

    def load() -> Avatar:
        reporter.notify("loading the networks; what is asked for meanwhile waits")
        avatar = Avatar.load(**loading, notify=reporter.notify).ready()
        reporter.notify("the networks are loaded")
        return avatar

    if not origins.enabled:
        reporter.notify("provenance is off: videos have neither a watermark nor credentials")
    if not live_notice:
        reporter.notify("live conversations do not say that an AI is talking (--live-notice)")
    with listen(config) as listener:
        address = address_of(listener)
        reporter.notify(f"starting the {'API' if no_studio else 'studio and the API'} at {address}")
        served = create_app(load, config)
        if not no_studio and (missing := mount_studio(served)):
            reporter.notify(missing)
        with Pulse(limits.max_stall_seconds):
            print(f"Visavis is at {address}", flush=True)
            serve(served, config, listener)


def _require_server() -> None:
    """Raises DependencyError without the extra."""
    try:
        import app.api.app  # noqa: F401
    except ImportError as error:
        raise DependencyError(f"the server needs the extra `app`: {how_to_add('app')}") from error


def _endpoint(given: dict[str, Any]) -> Endpoint:
    """The language model; looked for now, so that what is wrong with its settings shows at once."""
    return Endpoint.find(*(given[name] for name in _ENDPOINT))
