"""The files under docs/deploy/ are right: their own programs take them, what they name exists."""

import json
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from app.api.settings import ServerConfig
from app.intake.limits import Limits
from tests.test_docs import visavis_help

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
NAME = "visavis.example.org"


def needed(program: str, package: str) -> str:
    """Where a program is; the test is skipped, with what to install, where there is none."""
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if path is None:
        pytest.skip(f"NOT CHECKED: no {program} here (as root: apt-get install {package})")
    return path


def unit() -> dict[str, list[str]]:
    """The systemd unit: key -> its values, continuation lines joined."""
    text = (DEPLOY / "visavis.service").read_text(encoding="utf-8").replace("\\\n", " ")
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value.strip())
    return values


def containerfile() -> list[tuple[str, str]]:
    """Instruction and arguments, in order."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def command_lines() -> dict[str, list[str]]:
    """The words after `visavis`, of every file that starts it."""
    started = shlex.split(unit()["ExecStart"][0])
    return {
        "visavis.service": started[1:],
        "Containerfile": json.loads(dict(containerfile())["CMD"]),
        "compose.yaml": compose()["services"]["visavis"]["command"],
    }


@pytest.mark.parametrize("name", ["visavis.service", "Containerfile", "compose.yaml"])
def test_every_option_is_one_of_the_server(name: str):
    words = command_lines()[name]
    assert words[0] == "app"
    known = set(re.findall(r"--[a-z-]+", visavis_help(("app",))))
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert {"--host", "--port", "--data-dir"} <= options
    assert options - known == set()


def test_every_file_that_the_container_takes_exists():
    copied = [a.split()[:-1] for i, a in containerfile() if i == "COPY" and "--from" not in a]
    sources = [source for line in copied for source in line]
    assert {"app", "requirements.lock", "scripts/_setup.sh"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    let_in = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert let_in[0] == "*"
    patterns = [line.removeprefix("!") for line in let_in if line.startswith("!")]
    unseen = [s for s in sources if not any(Path(s).match(p) for p in patterns)]
    assert unseen == []


def test_the_container_is_not_root_and_says_whether_it_is_ready():
    steps = containerfile()
    users = [argument for instruction, argument in steps if instruction == "USER"]
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    order = [instruction for instruction, _ in steps]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert "/readyz" in dict(steps)["HEALTHCHECK"]
    assert "ADD" not in order
    assert not any(re.search(r"curl|wget|:latest", argument) for _, argument in steps)


def test_composed_services_can_write_little_and_do_less():
    services = compose()["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["pids_limit"] and service["mem_limit"]
    server = services["visavis"]
    assert server["networks"] == ["inside"] and "ports" not in server
    assert compose()["networks"]["inside"]["internal"] is True
    assert server["user"] == dict(containerfile())["USER"]
    assert "/readyz" in str(server["healthcheck"]["test"])


def test_the_unit_holds_the_service_as_tightly_as_it_says():
    values = unit()
    wanted = {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
        "CapabilityBoundingSet": "",
        "StateDirectory": "visavis",
        "IPAddressDeny": "any",
    }
    assert {key: values[key][-1] for key in wanted} == wanted
    assert {"MemoryMax", "CPUQuota", "TasksMax", "LimitNOFILE"} <= set(values)
    assert values["SystemCallFilter"][0] == "@system-service"


def test_systemd_takes_the_unit_and_rates_it_low(tmp_path: Path):
    analyze = needed("systemd-analyze", "systemd")
    text = (DEPLOY / "visavis.service").read_text(encoding="utf-8")
    path = tmp_path / "visavis.service"
    path.write_text(text.replace("/opt/visavis/.venv/bin/visavis", "/bin/true"))
    done = subprocess.run([analyze, "verify", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path],
        capture_output=True,
        text=True,
    )
    assert rated.returncode == 0, rated.stdout
    assert "Overall exposure level" in rated.stdout


def test_limits_of_bodies_are_those_of_the_server():
    """The proxies let through what the server takes, and not much more."""
    most = Limits.max_request_bytes
    found = {
        "nginx.conf": re.search(r"client_max_body_size (\d+)m;", read("nginx.conf")),
        "Caddyfile": re.search(r"max_size (\d+)MB", read("Caddyfile")),
        "compose.yaml": re.search(r"max_size (\d+)MB", read("compose.yaml")),
    }
    for name, match in found.items():
        assert match is not None, name
        assert most <= int(match[1]) * 2**20 <= 1.1 * most, name


def test_ports_of_proxies_and_server_agree():
    port = str(ServerConfig.port)
    assert f"server 127.0.0.1:{port};" in read("nginx.conf")
    assert f"reverse_proxy 127.0.0.1:{port} " in read("Caddyfile")
    assert f"reverse_proxy visavis:{port} " in read("compose.yaml")
    for words in command_lines().values():
        assert port in (" ".join(words).replace("=", " ")).split()


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Caddyfile", "compose.yaml"])
def test_caddy_takes_its_configuration(name: str, tmp_path: Path):
    caddy = needed("caddy", "caddy")
    path = tmp_path / "Caddyfile"
    text = read(name)
    if name == "compose.yaml":
        text = compose()["configs"]["caddyfile"]["content"].replace("{$$VISAVIS_NAME}", NAME)
    path.write_text(text)
    done = subprocess.run(
        [caddy, "adapt", "--adapter", "caddyfile", "--config", path],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["apps"]["http"]["servers"]


class Behind(BaseHTTPRequestHandler):
    """What stands behind the proxy: tells what it was asked, and streams two events."""

    go_on = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.path.endswith("/events"):
            self.wfile.write(b"data: first\n\n")
            self.wfile.flush()
            Behind.go_on.wait(20)
            self.wfile.write(b"data: second\n\n")
        else:
            self.wfile.write(json.dumps({k.lower(): v for k, v in self.headers.items()}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx with the file of docs/deploy/ on loopback; only ports and certificate are others."""
    nginx = needed("nginx", "nginx-light")
    openssl = needed("openssl", "openssl")
    folder = tmp_path_factory.mktemp("nginx")
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={NAME}"]
    files = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    subprocess.run([*make, *files], check=True, capture_output=True)
    behind = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    thread = threading.Thread(target=behind.serve_forever)
    thread.start()
    port, plain = free_port(), free_port()
    site = read("nginx.conf").replace("/etc/ssl/visavis", str(folder))
    site = re.sub(r"listen \[::\].*\n", "", site)
    site = site.replace("listen 443", f"listen 127.0.0.1:{port}")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{plain};")
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{behind.server_port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    checked = subprocess.run(
        [nginx, "-t", "-p", folder, "-c", folder / "nginx.conf"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    server = subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            threading.Event().wait(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)
        Behind.go_on.set()
        behind.shutdown()
        behind.server_close()
        thread.join(10)


def connect(port: int) -> ssl.SSLSocket:
    """A TLS connection to the proxy; its certificate is the test's own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(plain, server_hostname=NAME)


def ask(port: int, head: str) -> str:
    """The whole answer to a request given by its first lines."""
    with connect(port) as line:
        line.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := line.recv(65536):
            answer += part
    return answer.decode()


def headers_seen(answer: str) -> dict[str, str]:
    """What Behind was asked with, from the (chunked) body of an answer."""
    return json.loads(answer[answer.index("{") : answer.rindex("}") + 1])


def test_behind_nginx_the_server_sees_who_asks_and_not_what_they_claim(proxied: int):
    claims = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil.example"
    answer = ask(proxied, f"GET /v1/videos HTTP/1.1\r\nHost: {NAME}\r\n{claims}")
    assert answer.startswith("HTTP/1.1 200"), answer
    seen = headers_seen(answer)
    assert seen["host"] == NAME
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert "forwarded" not in seen and "x-forwarded-host" not in seen
    assert "upgrade" not in seen


def test_behind_nginx_a_socket_may_be_asked_for(proxied: int):
    upgrade = "Upgrade: websocket\r\nX-Forwarded-For: 6.6.6.6"
    answer = ask(proxied, f"GET /v1/live HTTP/1.1\r\nHost: {NAME}\r\n{upgrade}")
    seen = headers_seen(answer)
    assert (seen["upgrade"], seen["connection"]) == ("websocket", "upgrade")
    assert (seen["host"], seen["x-forwarded-for"]) == (NAME, "127.0.0.1")


def test_behind_nginx_an_event_comes_before_the_next_is_there(proxied: int):
    Behind.go_on.clear()
    with connect(proxied) as line:
        line.sendall(f"GET /v1/videos/abc/events HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        answer = b""
        while b"data: first" not in answer:
            part = line.recv(65536)
            assert part, "the stream ended before its first event"
            answer += part
    assert b"second" not in answer
    Behind.go_on.set()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"GET /metrics HTTP/1.1\r\nHost: {NAME}", "404"),
        (f"POST /v1/videos HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 200000000", "413"),
        ("GET / HTTP/1.1\r\nHost: other.example", ""),
    ],
    ids=["figures", "a body too large", "another name"],
)
def test_nginx_itself_refuses(proxied: int, head: str, status: str):
    answer = ask(proxied, head)
    assert answer.partition("\r\n")[0].split(" ")[1:2] == ([status] if status else [])


def test_what_the_pages_name_exists():
    """Tests, files and folders that docs/security.md and docs/deploy.md speak of."""
    for page in ("security.md", "deploy.md", "licences.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        named = set(re.findall(r"`((?:tests|docs|scripts|app|weights)/[\w./]+)`", text))
        assert named, page
        assert [name for name in sorted(named) if not (ROOT / name).exists()] == [], page
