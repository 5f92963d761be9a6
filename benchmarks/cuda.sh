#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in at most eight minutes and without a network: the tests of
# `tests/cuda`, then `benchmarks/model.py` and `benchmarks/lens.py`. The last line that it prints is JSON.
#
#   benchmarks/cuda.sh [FILE]      also writes the JSON to FILE (in a folder: to cuda.json)
#   PYTHON=python3.12 benchmarks/cuda.sh
#
# The package need not be installed, but what it depends on, pytest and hypothesis must be.
set -euo pipefail
out=${1:-}
[ -z "$out" ] || out=$(realpath -m -- "$out")
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1
exec "${PYTHON:-python3}" benchmarks/cuda.py ${out:+"$out"}
