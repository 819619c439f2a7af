#!/bin/sh
# Install this checkout with one of its extras; pip's own words only when it fails.  usage: pip_install.sh VENV EXTRA
set -eu
venv=$1 extra=$2 log="$1/install-$2.log"

echo "installing gp_literate[$extra] into $venv (first time: some minutes) ..."
if ! "$venv/bin/python" -m pip install --disable-pip-version-check -e ".[$extra]" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "error: pip failed; the whole log is in $log" >&2
    exit 1
fi
