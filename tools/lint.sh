#!/usr/bin/env bash
# lint.sh: the checks that need no build: format of every C file, layers, shell scripts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
complain() {
    printf 'lint: %s\n' "$*" >&2
    failed=1
}

mapfile -t c_files < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
((${#c_files[@]} > 0)) || complain 'no C files: nothing was checked'
for file in "${c_files[@]}"; do
    clang-format --dry-run -Werror "$file" 2>/dev/null || complain "$file is not formatted: make format"
done

tools/check-layers.py || complain 'includes point one way: server -> cluster -> protocol'

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' '*.bash' '*.bats' .ci/run)
shellcheck -x "${scripts[@]}" || complain 'shellcheck is not content'

exit "$failed"
