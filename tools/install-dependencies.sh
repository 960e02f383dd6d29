#!/usr/bin/env bash
# install-dependencies.sh: installs the Debian packages that are missing, and is quick when none is.
#
#     tools/install-dependencies.sh [run] [test] [bench] [ci]      (default: run)
#
# run: to build and run kvnode. test: run, and what the tests need, with the Node.js clients of redis-tests/clients
# from npm. bench: what tests/bench measures kvnode beside, and with. ci: test, and what .ci/run needs.
# No service starts because its package came this way, now or at the next boot.
set -euo pipefail

# `a|b` is an alternative: either will do, and a is installed where the distribution has it.
# `a?` is done without where it can't be installed: the benchmark leaves out its rows.
run_packages=(build-essential cmake ninja-build pkg-config libev-dev libssl-dev libcjson-dev
    'libllhttp-dev|node-llhttp' libjemalloc-dev liblz4-dev redis-tools curl jq)
test_packages=(libhiredis-dev libcmocka-dev bats python3 python3-redis netcat-openbsd redis-server git procps)
bench_packages=(redis-server redis-tools 'memcached?' 'webdis?' 'wrk?' python3 procps)
ci_packages=(clang clang-format clang-tidy libclang-rt-dev llvm shellcheck)

say() { printf 'install-dependencies: %s\n' "$*" >&2; }

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")/../redis-tests/clients" && pwd)
node_wanted=$(sed -n 's/.*"node": ">=\([0-9]*\)".*/\1/p' "$clients/package.json")
npm_wanted=

# find_node: a Node.js that is there already, from wherever, will do, if it is not too old for the clients; then the
# first one of PATH is new enough. An old one in front of Debian's does not hide it.
node_is_new_enough() {
    local major
    command -v npm >/dev/null || return 1
    major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || return 1
    ((major >= node_wanted))
}
find_node() {
    local path
    for path in "$PATH" "/usr/bin:$PATH"; do
        if PATH=$path node_is_new_enough; then
            PATH=$path
            return 0
        fi
    done
    return 1
}

# The clients that package-lock.json names; npm leaves a lock of what it has installed.
install_npm_clients() {
    if [[ -z $npm_wanted || $clients/node_modules/.package-lock.json -nt $clients/package-lock.json ]]; then return; fi
    if ! find_node; then
        say "Node.js $node_wanted or newer and npm are wanted; here is $(command -v node || echo none) $(node -v 2>/dev/null)"
        exit 1
    fi
    say "installing the Node.js clients of redis-tests/clients"
    (cd "$clients" && npm ci --no-audit --no-fund --ignore-scripts </dev/null >&2)
    touch "$clients/node_modules/.package-lock.json"
}

wanted=()
for group in "${@:-run}"; do
    case $group in
    run) wanted+=("${run_packages[@]}") ;;
    test)
        wanted+=("${run_packages[@]}" "${test_packages[@]}")
        npm_wanted=yes
        ;;
    bench) wanted+=("${bench_packages[@]}") ;;
    ci)
        wanted+=("${run_packages[@]}" "${test_packages[@]}" "${ci_packages[@]}")
        npm_wanted=yes
        ;;
    *) say "no such group: $group (run, test, bench, ci)"; exit 2 ;;
    esac
done
if [[ -n $npm_wanted ]] && ! find_node; then wanted+=(nodejs npm); fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian: nothing is installed here; needed is what these packages hold: ${wanted[*]%\?}"
    exit 0
fi

# The packages of `wanted` of which neither the first nor an alternative is installed, into `missing`, or into
# `missed` if they can be done without.
find_missing() {
    local -A installed=()
    local name state package
    # shellcheck disable=SC2016  # the fields are dpkg-query's to expand
    while read -r name state; do
        if [[ $state == installed ]]; then installed[$name]=1; fi
    done < <(printf '%s\n' "${wanted[@]%\?}" | tr '|' '\n' |
        xargs dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null || true)
    missing=() missed=()
    for package in "${wanted[@]}"; do
        name=${package%\?}
        if [[ -n ${installed[${name%%|*}]-} || -n ${installed[${name##*|}]-} ]]; then continue; fi
        if [[ $name == "$package" ]]; then missing+=("$name"); else missed+=("$name"); fi
    done
}

has_candidate() { [[ -n $(apt-cache madison "$1" 2>/dev/null) ]]; }

# redis-server's package starts a Redis on port 6379, which is where kvnode's first node answers. Debian's way to
# install without starting anything is a policy-rc.d that says no; the next boot does not ask it.
readonly policy=/usr/sbin/policy-rc.d
policy_is_ours=
remove_policy() {
    if [[ -n $policy_is_ours ]]; then "${as_root[@]}" rm -f "$policy"; fi
}

disable_services() {
    local name
    for name in redis-server memcached webdis; do
        if [[ " $* " == *" $name "* ]]; then "${as_root[@]}" update-rc.d "$name" disable >&2 || return 1; fi
    done
}

install_missing() {
    local package names=()
    for package in "${missing[@]}"; do
        if has_candidate "${package%%|*}"; then names+=("${package%%|*}"); else names+=("${package##*|}"); fi
    done
    for package in "${missed[@]}"; do
        if has_candidate "$package"; then names+=("$package"); fi
    done
    if ((${#names[@]} == 0)); then return 1; fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "${names[@]}" </dev/null >&2 || return 1
    disable_services "${names[@]}"
}

finish() {
    if ((${#missed[@]} > 0)); then say "done without ${missed[*]}"; fi
    install_npm_clients
}

find_missing
if ((${#missing[@]} + ${#missed[@]} == 0)); then
    finish
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        if ((${#missing[@]} == 0)); then
            finish
            exit 0
        fi
        say "these packages are missing: ${missing[*]}"
        say "I am neither root nor is there sudo. As root: apt-get install ${missing[*]%%|*}"
        exit 1
    fi
    as_root=(sudo)
    # Without a terminal nobody can type a password.
    if [[ ! -t 0 ]]; then as_root=(sudo -n); fi
fi

say installing "${missing[@]}" "${missed[@]}"
if [[ ! -e $policy ]]; then
    policy_is_ours=yes
    trap remove_policy EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi
# Package lists that are absent or old are the common reason of a failure.
if ! install_missing; then
    say "that failed; once more with new package lists"
    if ! { "${as_root[@]}" apt-get update -q -o Acquire::Retries=3 </dev/null >&2 && install_missing; }; then
        say "that failed, too"
    fi
fi
find_missing
if ((${#missing[@]} > 0)); then
    say "still missing: ${missing[*]}"
    exit 1
fi
finish
