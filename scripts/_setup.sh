# Sourced by scripts/demo, scripts/test and scripts/update_constraints: makes .venv and installs the project
# into it. `setup_environment [extra...]` does all of it, takes part in a second when nothing has
# changed, and may run twice at once. The extras app, provenance and voices come too where they can be
# had; VISAVIS_EXTRAS="s3,train" adds others, and fails where one cannot be had. Every file's sha256 is
# compared with requirements*.lock; VISAVIS_UNVERIFIED=1 takes whatever the package sources have.
# shellcheck shell=bash

ROOT="$(cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)"
VENV="$ROOT/.venv"
SETUP_LOG="$VENV/setup.log"

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
    local names=()
    if [[ -z $PYTHON ]]; then
        names+=(python3 python3-venv)
    elif ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        names+=("python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
    fi
    printf '%s' "${names[*]}"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update && apt-get install --yes --no-install-recommends "$@"
}

prepare_system() { # Python: install it as root, else say how
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
    local wanted=(--constraint "$ROOT/constraints.txt" uv)
    if [[ ! -x $VENV/bin/uv ]]; then
        if verified; then
            locks pick uv >"$VENV/.visavis-uv.txt" || return
            wanted=(--require-hashes --requirement "$VENV/.visavis-uv.txt")
        fi
        "$VENV/bin/python" -m pip install --disable-pip-version-check "${wanted[@]}" ||
            echo "uv cannot be had here: pip will do it, more slowly"
    fi
}

verified() { [[ ${VISAVIS_UNVERIFIED:-} != 1 ]]; }

locks() { # scripts/_locks.py, which needs no package; it leaves no __pycache__ in the checkout
    "$VENV/bin/python" -B "$ROOT/scripts/_locks.py" "$@"
}

project() { # the requirement, with its extras: .[dev]
    printf '.%s' "${EXTRAS:+[$EXTRAS]}"
}

uv_install() { # uv_install [option...]: the project, editable, with the pinned versions
    local pins=(--constraints constraints.txt)
    if verified; then # uv compares all that these name, what is needed to build the project too
        pins=(--constraints requirements.lock --build-constraints requirements.lock)
    fi
    (cd -- "$ROOT" && "$VENV/bin/uv" pip install --python "$VENV/bin/python" \
        "${pins[@]}" --overrides overrides.txt --editable "$(project)" "$@")
}

uv_install_with() { # uv_install_with cpu|cuda [option...]: the same with that build's own lock
    local lock="requirements-$1.lock"
    shift
    if verified; then uv_install --constraints "$lock" "$@"; else uv_install "$@"; fi
}

pip_install() { # without uv there are no overrides: what is unwanted is left out or goes afterwards
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check)
    cd -- "$ROOT" || return
    if [[ $FLAVOUR == cpu ]]; then pip_install_cpu_torch "${pip[@]}" || return; fi
    if verified; then
        pip_install_locked "${pip[@]}"
        return
    fi
    "${pip[@]}" install --constraint constraints.txt --editable "$(project)" || return
    "${pip[@]}" uninstall --yes opencv-python || return
    "${pip[@]}" install --no-deps --force-reinstall --constraint constraints.txt \
        opencv-python-headless
}

pip_install_cpu_torch() { # PyTorch's index for torch alone: pip would ask it for all
    local pip=("$@") index=(--retries 1 --extra-index-url https://download.pytorch.org/whl/cpu)
    if verified && [[ $(uname -s) == Linux ]]; then
        "${pip[@]}" install "${index[@]}" --no-deps --require-hashes \
            --requirement requirements-cpu.lock && return
        echo "no known CPU build of torch can be had: taking the default build, several GB"
        touch "$VENV/.visavis-default-torch"
    elif ! verified; then
        "${pip[@]}" install "${index[@]}" --constraint constraints.txt torch
    fi
}

pip_install_locked() { # pip takes hashes only of a full list, and none of a project or its build
    local pip=("$@") plan="$VENV/.visavis-plan"
    locks pick hatchling editables packaging pathspec pluggy trove-classifiers >"$plan.txt" || return
    "${pip[@]}" install --no-deps --require-hashes --requirement "$plan.txt" || return
    "${pip[@]}" install --dry-run --quiet --report "$plan.json" --constraint constraints.txt \
        --no-build-isolation "$(project)" || return
    locks pick --report "$plan.json" --missing "$plan-missing.txt" >"$plan.txt" || return
    "${pip[@]}" install --no-deps --require-hashes --requirement "$plan.txt" || return
    if [[ -s $plan-missing.txt ]]; then
        echo "no lock has hashes of these: $(paste -s -d ' ' "$plan-missing.txt")"
        "${pip[@]}" install --no-deps --requirement "$plan-missing.txt" || return
    fi
    "${pip[@]}" install --no-deps --no-build-isolation --editable "$(project)"
}

resolves_without_cuda() { # nothing is installed: only what would be, which goes to PLAN
    PLAN="$(uv_install --dry-run 2>&1)" || return
    ! grep -qE '^ \+ (nvidia-|cuda-|triton==)' <<<"$PLAN"
}

has_cpu_torch() { # has_cpu_torch [VERSION]: of this version, or of any
    "$VENV/bin/python" - "$@" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    pinned, _, build = version("torch").partition("+")
except PackageNotFoundError:
    sys.exit(1)
sys.exit(build != "cpu" or pinned not in (sys.argv[1:] or [pinned]))
PYTHON
}

install_optional() { # install_optional EXTRA: where it can be had; nothing else needs it
    (EXTRAS="${EXTRAS:+$EXTRAS,}$1" && install_packages) || touch "$VENV/.visavis-no-$1"
}

optional() { # optional EXTRA NAME CONSEQUENCE: what the default set-up has too, if it can be had
    rm -f -- "$VENV/.visavis-no-$1"
    if [[ ,$EXTRAS, == *,$1,* ]]; then return 0; fi # or it would not have come this far
    phase "$2" install_optional "$1"
    if [[ -f $VENV/.visavis-no-$1 ]]; then
        say "  $3 (VISAVIS_EXTRAS=$1 tries again)."
    fi
}

install_packages() { # FLAVOUR decides which build of torch: cpu, cuda, or the user's own choice
    if [[ ! -x $VENV/bin/uv ]]; then
        pip_install
    elif [[ $FLAVOUR == cuda ]]; then
        # The default index holds the CUDA build; a folder of CPU wheels must not win over it.
        unset UV_FIND_LINKS
        if has_cpu_torch; then
            uv_install_with cuda --reinstall-package torch
        else
            uv_install_with cuda
        fi
    elif [[ $FLAVOUR != cpu ]]; then
        echo "no lock has hashes of torch's builds for $FLAVOUR: these come unverified"
        uv_install # uv itself reads UV_TORCH_BACKEND
    elif has_cpu_torch "$(sed -n 's/^torch==//p' "$ROOT/constraints.txt")"; then
        uv_install_with cpu
    elif [[ (-n ${OWN_SOURCES:-} || $(uname -s) != Linux) ]] && resolves_without_cuda; then
        echo "the CPU build of torch comes from the configured package sources"
        if grep -qE '^ \+ torch==.*\+cpu' <<<"$PLAN"; then uv_install_with cpu; else uv_install; fi
    elif uv_install_with cpu --torch-backend cpu; then
        :
    elif tail -n 40 -- "$SETUP_LOG" | grep -q 'download\.pytorch\.org'; then
        echo "PyTorch's CPU index cannot be reached: taking the default build, several GB"
        touch "$VENV/.visavis-default-torch"
        uv_install_with cuda
    else
        return 1
    fi
}

explain_mismatch() { # after a failed installation: what to do where hashes were the reason
    if tail -n 80 -- "$SETUP_LOG" | grep -qiE 'hash mismatch|do not match the hashes'; then
        say "A package is not the file that requirements.lock knows: it was changed on the way, or your"
        say "package source builds its own. VISAVIS_UNVERIFIED=1 installs it all the same."
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
        cat pyproject.toml constraints.txt overrides.txt requirements*.lock
        printf '%s\n' "$ROOT" "$EXTRAS" "${VISAVIS_UNVERIFIED:-}" "app,provenance,voices"
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
        verified || say "  VISAVIS_UNVERIFIED=1: no file is compared with its known hash"
        phase "packages ($FLAVOUR torch)" install_packages || { explain_mismatch && return 1; }
        optional app "studio" "It cannot be had here, so videos are made by commands alone"
        optional provenance "content credentials" \
            "They cannot be had here, so videos are marked and not signed"
        optional voices "natural voices" "They cannot be had here, so espeak-ng speaks"
        if [[ -f $VENV/.visavis-default-torch ]]; then
            say "  PyTorch's CPU index was out of reach: the default build of torch is installed."
        fi
        printf '%s %s\n' "$(fingerprint)" "$FLAVOUR" >"$VENV/.visavis-stamp-${EXTRAS:-none}"
    fi
    exec 9<&-
    say "set-up took $(seconds_since "$start")"
}
