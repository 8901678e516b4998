# Sourced by the scripts: makes .venv in the checkout, or brings it up to date.
# Takes the extra to install, if any: setup dev

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  echo "PocketCoder needs Python 3.11 or newer, with its venv module. Install it, or name it: PYTHON=/path/to/python $0" >&2
  return 1
}

setup() {
  local extra="${1:-}" wanted have="" python
  wanted="$(cksum <pyproject.toml) $PWD"
  [ -f ".venv/installed-${extra:-run}" ] && have="$(cat ".venv/installed-${extra:-run}")"
  [ "$wanted" = "$have" ] && [ -x .venv/bin/python ] && return
  # What an interrupted setup left has no pip; a Python that was removed leaves a link to nothing.
  if [ ! -x .venv/bin/python ] || [ -e .venv/unfinished ]; then
    python="$(find_python)"
    echo "Setting up .venv …" >&2
    rm -rf .venv
    mkdir .venv
    touch .venv/unfinished
    "$python" -m venv .venv
    rm .venv/unfinished
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
  printf '%s' "$wanted" >".venv/installed-${extra:-run}"
}
