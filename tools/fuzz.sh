#!/usr/bin/env bash
# fuzz.sh BUILD SECONDS [NAME...]: runs the libFuzzer targets of a KVNODE_FUZZ build directory (all, or those named)
# for some seconds each, two at a time. New inputs stay in BUILD/new-inputs/<name>/; what made a target fail is kept
# in BUILD/findings/. An input that taught something belongs into tests/fuzz/corpus/<name>/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${1:?usage: fuzz.sh BUILD SECONDS [NAME...]}
seconds=${2:?usage: fuzz.sh BUILD SECONDS [NAME...]}
shift 2

names=("$@")
if ((${#names[@]} == 0)); then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        names+=("${name%.c}")
    done
fi
mkdir -p "$build/findings"

fuzz_one() {
    local name=$1 program=$build/tests/fuzz/fuzz_$1 log=$build/fuzz_$1.log
    mkdir -p "$build/new-inputs/$name"
    # timeout is the second net: libFuzzer ends by itself, and gives one input ten seconds at most.
    if timeout $((seconds + 60)) "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=1 \
        -artifact_prefix="$build/findings/$name-" "$build/new-inputs/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        printf 'ok    fuzz %-12s %s\n' "$name" "$(tail -n 1 "$log")"
    else
        printf 'FAIL  fuzz %s\n' "$name"
        tail -n 40 "$log"
        return 1
    fi
}

failed=0
for ((i = 0; i < ${#names[@]}; i += 2)); do
    fuzz_one "${names[i]}" &
    first=$!
    second=
    if ((i + 1 < ${#names[@]})); then
        fuzz_one "${names[i + 1]}" &
        second=$!
    fi
    wait "$first" || failed=$((failed + 1))
    if [[ -n $second ]]; then wait "$second" || failed=$((failed + 1)); fi
done
printf '%d passed, %d failed\n' $((${#names[@]} - failed)) "$failed"
((failed == 0))
