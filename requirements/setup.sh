#!/bin/sh
# Make .venv if it isn't there, and install the locks named: requirements/setup.sh runtime|test|lint …
# What the machine lacks is said in a sentence that tells what to install.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

fail() {
    echo "$*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3.14 python3 python; do
        if [ -n "$candidate" ] && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
        [ -z "${PYTHON:-}" ] || return 1
    done
    return 1
}

# llama.cpp is compiled. CMake and ninja, where missing, come from PyPI; compilers don't.
check_compilers() {
    if [ "$(uname)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then
        fail "A C++ compiler is needed to build llama.cpp: install Apple's with xcode-select --install, then run make again."
    fi
    for tool in "${CC:-cc}" "${CXX:-c++}"; do
        command -v "${tool%% *}" >/dev/null 2>&1 ||
            fail "A C and a C++ compiler are needed to build llama.cpp, and there is no ${tool%% *}: install them (Debian, Ubuntu: sudo apt install build-essential; Fedora: sudo dnf install gcc-c++; macOS: xcode-select --install), then run make again."
    done
}

if ! new_enough "$venv/bin/python"; then
    python=$(find_python) ||
        fail "Python 3.11 or later is needed${PYTHON:+, and $PYTHON isn't}: install it (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python), then run make again; make setup PYTHON=/path/to/python takes one that isn't on the PATH."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$("$python" --version) lacks its venv module: install it (Debian, Ubuntu: sudo apt install python3-venv), then run make again."
    check_compilers
    echo "Making $venv with $("$python" --version)." >&2
    "$python" -m venv --clear "$venv"
fi

exec "$venv/bin/python" requirements/install.py "$@"
