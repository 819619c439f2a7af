#!/bin/sh
# Make a virtual environment with the first Python >= 3.11 that works.  usage: make_venv.sh PYTHON VENV
set -eu
wanted=$1 venv=$2

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

for python in "$wanted" python3.13 python3.12 python3.11 python3; do
    if new_enough "$python"; then
        echo "making $venv with $("$python" --version) ($python)"
        if "$python" -m venv "$venv"; then exit 0; fi
        rm -rf "$venv"
        echo "error: '$python -m venv $venv' failed; on Debian and Ubuntu, install the package python3-venv" >&2
        exit 1
    fi
done
echo "error: gp_literate needs Python 3.11 or later, and '$wanted' is $("$wanted" --version 2>/dev/null || echo missing)." >&2
echo "       Install one, or name one: make PYTHON=/path/to/python3.12 ..." >&2
exit 1
