#!/usr/bin/env bash
# Every check of docs/gpu.md, in one go: docs/gpu-checks.sh [DEVICE] [FOLDER FOR LOGS]
# Builds first; then each check runs with a time limit of its own, so that one that hangs doesn't cost the others.
# A table of results comes last. Set BIN to a folder of built programs to run those instead of building.
set -u
cd "$(dirname "$0")/.." || exit 1
device=${1:-cuda:0}
logs=${2:-target/gpu-checks}
feature=${device%%:*}
mkdir -p "$logs"
if [ -z "${BIN:-}" ]; then
  cargo build --release -p anicrafter -p parity --features "cli/$feature,parity/$feature" &&
    cargo build --release -p anicrafter-nn --features "$feature" --example on_device &&
    cargo build --release -p anicrafter-pipeline --features "$feature" --example gpu_figures || exit 1
  BIN=target/release
fi
program() { if [ -x "$BIN/$1" ]; then echo "$BIN/$1"; else echo "$BIN/examples/$1"; fi; }

failed=0
table=
check() { # NAME SECONDS EXPECTED-STATUS COMMAND...
  local name=$1 limit=$2 expected=$3 start status verdict=ok
  shift 3
  start=$(date +%s)
  timeout -k 5 "$limit" "$@" >"$logs/$name.log" 2>&1
  status=$?
  if [ "$status" -ne "$expected" ]; then verdict=FAILED failed=$((failed + 1)); fi
  table+=$(printf '%-12s %-6s status %3d  %4d s  %s' "$name" "$verdict" "$status" $(($(date +%s) - start)) \
    "$(tail -n 1 "$logs/$name.log" | cut -c 1-120)")$'\n'
}

check plan 30 0 "$(program anicrafter)" models plan --device "$device"
check no-card 30 1 "$(program anicrafter)" models plan --device "$feature:99"
check layers 120 0 "$(program on_device)" "$device"
check parity 180 0 "$(program parity)" --goldens fixtures/goldens --device "$device"
check small 60 0 "$(program gpu_figures)" "$device" small
check block 120 0 "$(program gpu_figures)" "$device" block
check attention 240 0 "$(program gpu_figures)" "$device" attention
check vae 240 0 "$(program gpu_figures)" "$device" vae
check step 300 0 "$(program gpu_figures)" "$device" step

if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; fi
grep -h -E '^(block|attention|VAE|step|14B)' "$logs"/{block,attention,vae,step}.log
grep -h FAIL "$logs"/{layers,parity}.log
printf '%s' "$table"
exit $((failed > 0))
