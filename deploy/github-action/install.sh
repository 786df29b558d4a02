#!/usr/bin/env bash
# Makes sure that there is an outlay on the PATH of the steps that follow.
set -euo pipefail

if [ -z "$OUTLAY_VERSION" ] && command -v outlay; then
  exit 0
fi

venv="$RUNNER_TEMP/outlay-venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "outlay${OUTLAY_VERSION:+==$OUTLAY_VERSION}"
echo "$venv/bin" >>"$GITHUB_PATH"
"$venv/bin/outlay" --version
