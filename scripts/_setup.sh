# Sourced by scripts/demo, scripts/test and scripts/update_constraints: makes .venv and installs the project
# into it. `setup_environment [extra...]` does all of it, takes part in a second when nothing has
# changed, and may run twice at once. VISAVIS_EXTRAS="app,train" adds extras.
# shellcheck shell=bash

ROOT="$(cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)"
VENV="$ROOT/.venv"
SETUP_LOG="$VENV/setup.log"

# What mediapipe loads and no wheel carries: library -> Debian package.
SYSTEM_LIBRARIES=("libEGL.so.1 libegl1" "libGLESv2.so.2 libgles2")

say() { printf '%s\n' "$*" >&2; }

microseconds() { # the decimal mark of EPOCHREALTIME depends on the locale
    local now="${EPOCHREALTIME:-$(date +%s).000000}"
    printf '%s' "${now//[.,]/}"
}

seconds_since() {
    local tenths=$((($(microseconds) - $1 + 50000) / 100000))
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

phase() { # phase NAME COMMAND...: one line with its time; on failure the tail of the log
    local name="$1" start
    shift
    start="$(microseconds)"
    printf '  %-36s' "$name" >&2
    if "$@" >>"$SETUP_LOG" 2>&1 9<&-; then
        say "$(seconds_since "$start")"
    else
        say "failed after $(seconds_since "$start"); the end of $SETUP_LOG:"
        tail -n 25 -- "$SETUP_LOG" >&2
        return 1
    fi
}

suits() { # a Python that this project supports
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

find_python() { # sets PYTHON; shims of version managers may exist and fail, so each one is run
    local name
    PYTHON=""
    for name in ${VISAVIS_PYTHON:+"$VISAVIS_PYTHON"} python3.11 python3.12 python3.13 python3; do
        if suits "$name"; then
            PYTHON="$name"
            return 0
        fi
    done
    return 1
}

missing_packages() { # names of the Debian packages that are needed and not there, on one line
    local pair names=()
    if [[ -z $PYTHON ]]; then
        names+=(python3 python3-venv)
    elif ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        names+=("python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
    fi
    if [[ $(uname -s) == Linux ]]; then
        for pair in "${SYSTEM_LIBRARIES[@]}"; do
            if [[ -z $PYTHON ]] || ! "$PYTHON" -c \
                'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "${pair% *}" >/dev/null 2>&1; then
                names+=("${pair#* }")
            fi
        done
    fi
    printf '%s' "${names[*]}"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update && apt-get install --yes --no-install-recommends "$@"
}

prepare_system() { # Python and the system's libraries: install them as root, else say how
    local names
    find_python || true
    names="$(missing_packages)"
    [[ -z $names ]] && return 0
    if ! command -v apt-get >/dev/null; then
        say "Visavis needs what these Debian packages hold: $names"
        say "Install them with this system's package manager, then run this again."
        return 1
    fi
    if [[ $(id -u) != 0 ]]; then
        say "Visavis needs system packages. Run this, then try again:"
        say "  sudo apt-get update && sudo apt-get install --yes $names"
        return 1
    fi
    # shellcheck disable=SC2086 # names of packages, one word each
    phase "system packages: $names" apt_install $names || return
    if ! find_python; then
        say "Visavis needs Python 3.11, 3.12 or 3.13; this system's package manager has none."
        return 1
    fi
}

prepare_browser() { # Chromium for the extra `browser`, where it can be had; nothing else needs it
    local name
    [[ ,$EXTRAS, == *,browser,* ]] || return 0
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
        phase "system packages: chromium" apt_install chromium && return 0
    fi
    say "  There is no Chromium here, so browser tests will be SKIPPED (apt-get install chromium)."
}

make_venv() { # a venv cannot be moved and may outlive its Python: then it is made anew
    if [[ -f $VENV/.visavis-root && $(<"$VENV/.visavis-root") != "$ROOT" ]] ||
        ! suits "$VENV/bin/python"; then
        rm -rf -- "$VENV"/{bin,include,lib,lib64,share,pyvenv.cfg} || return
        rm -f -- "$VENV"/.visavis-* || return
        "$PYTHON" -m venv "$VENV" || return
    fi
    printf '%s' "$ROOT" >"$VENV/.visavis-root"
}

install_uv() { # pip obeys the user's own settings, whatever they are
    if [[ ! -x $VENV/bin/uv ]]; then
        "$VENV/bin/python" -m pip install --disable-pip-version-check \
            --constraint "$ROOT/constraints.txt" uv ||
            echo "uv cannot be had here: pip will do it, more slowly"
    fi
}

project() { # the requirement, with its extras: .[dev]
    printf '.%s' "${EXTRAS:+[$EXTRAS]}"
}

uv_install() { # uv_install [option...]: the project, editable, with the pinned versions
    (cd -- "$ROOT" && "$VENV/bin/uv" pip install --python "$VENV/bin/python" \
        --constraints constraints.txt --overrides overrides.txt --editable "$(project)" "$@")
}

pip_install() { # without uv there are no overrides, so the unwanted builds of OpenCV go afterwards
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check)
    cd -- "$ROOT" || return
    if [[ $FLAVOUR == cpu ]]; then # PyTorch's index for torch alone: pip would ask it for all
        "${pip[@]}" install --retries 1 --constraint constraints.txt \
            --extra-index-url https://download.pytorch.org/whl/cpu torch || return
    fi
    "${pip[@]}" install --constraint constraints.txt --editable "$(project)" || return
    "${pip[@]}" uninstall --yes opencv-contrib-python opencv-python || return
    "${pip[@]}" install --no-deps --force-reinstall --constraint constraints.txt \
        opencv-python-headless
}

resolves_without_cuda() { # nothing is installed: only what would be
    local plan
    plan="$(uv_install --dry-run 2>&1)" || return
    ! grep -qE '^ \+ (nvidia-|cuda-|triton==)' <<<"$plan"
}

has_cpu_torch() {
    "$VENV/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    sys.exit(not version("torch").endswith("+cpu"))
except PackageNotFoundError:
    sys.exit(1)
PYTHON
}

install_packages() { # FLAVOUR decides which build of torch: cpu, cuda, or the user's own choice
    if [[ ! -x $VENV/bin/uv ]]; then
        pip_install
    elif [[ $FLAVOUR == cuda ]]; then
        # The default index holds the CUDA build; a folder of CPU wheels must not win over it.
        unset UV_FIND_LINKS
        if has_cpu_torch; then uv_install --reinstall-package torch; else uv_install; fi
    elif [[ $FLAVOUR != cpu ]]; then
        uv_install # uv itself reads UV_TORCH_BACKEND
    elif has_cpu_torch; then
        uv_install
    elif [[ (-n ${OWN_SOURCES:-} || $(uname -s) != Linux) ]] && resolves_without_cuda; then
        echo "the CPU build of torch comes from the configured package sources"
        uv_install
    elif uv_install --torch-backend cpu; then
        :
    elif tail -n 40 -- "$SETUP_LOG" | grep -q 'download\.pytorch\.org'; then
        echo "PyTorch's CPU index cannot be reached: taking the default build, several GB"
        touch "$VENV/.visavis-default-torch"
        uv_install
    else
        return 1
    fi
}

import_pip_settings() { # uv does not read pip's configuration: hand over what it says
    local settings
    settings="$("$VENV/bin/python" "$ROOT/scripts/_pip_settings.py")" || return
    eval "$settings"
    OWN_SOURCES="${UV_FIND_LINKS:-}${UV_DEFAULT_INDEX:-}${UV_INDEX:-}${UV_NO_INDEX:-}"
    if [[ -z ${SSL_CERT_FILE:-} && -s /etc/ssl/certs/ca-certificates.crt ]]; then
        export UV_SYSTEM_CERTS=true # like pip, trust what this machine trusts
    fi
}

provide_home() { # without a usable HOME, tools would write their caches to odd places or fail
    if [[ -z ${HOME:-} || ! -d $HOME || ! -w $HOME ]]; then
        export HOME="$VENV/home"
        mkdir -p -- "$HOME"
    fi
}

fingerprint() { # of all that decides what gets installed
    (cd -- "$ROOT" && {
        cat pyproject.toml constraints.txt overrides.txt
        printf '%s\n' "$ROOT" "$EXTRAS"
    } | sha256sum | cut -d ' ' -f 1)
}

is_current() { # a machine without a GPU may use what one with a GPU has installed, not vice versa
    local stamp="$VENV/.visavis-stamp-${EXTRAS:-none}" hash flavour
    [[ -f $stamp && -x $VENV/bin/visavis ]] && suits "$VENV/bin/python" || return
    read -r hash flavour <"$stamp" || return
    [[ $hash == "$(fingerprint)" ]] && [[ $FLAVOUR == cpu || $FLAVOUR == "$flavour" ]]
}

setup_environment() {
    local start extras
    start="$(microseconds)"
    extras="$*,${VISAVIS_EXTRAS:-}"
    EXTRAS="$(tr -s ' ,' '\n' <<<"$extras" | sed '/^$/d' | LC_ALL=C sort -u | paste -s -d , -)"
    FLAVOUR="${UV_TORCH_BACKEND:-cpu}"
    if [[ -z ${UV_TORCH_BACKEND:-} ]] && nvidia-smi -L >/dev/null 2>&1; then FLAVOUR=cuda; fi
    mkdir -p -- "$VENV"
    provide_home
    if is_current; then
        say "set-up: nothing to do ($(seconds_since "$start"))"
        return 0
    fi
    exec 9<"$ROOT/scripts/_setup.sh"
    if command -v flock >/dev/null; then
        flock --nonblock 9 || { say "set-up: waiting for another one" && flock 9; }
    fi
    if ! is_current; then
        say "set-up in $VENV${EXTRAS:+ with $EXTRAS}"
        : >"$SETUP_LOG"
        prepare_system || return
        prepare_browser
        phase "virtual environment" make_venv || return
        phase "uv" install_uv || return
        import_pip_settings || return
        phase "packages ($FLAVOUR torch)" install_packages || return
        if [[ -f $VENV/.visavis-default-torch ]]; then
            say "  PyTorch's CPU index was out of reach: the default build of torch is installed."
        fi
        printf '%s %s\n' "$(fingerprint)" "$FLAVOUR" >"$VENV/.visavis-stamp-${EXTRAS:-none}"
    fi
    exec 9<&-
    say "set-up took $(seconds_since "$start")"
}
