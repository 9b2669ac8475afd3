#!/usr/bin/env bash
# .clang-format decides about layout.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

command -v clang-format >/dev/null || { echo "lint format: clang-format is missing (apt-get install clang-format)"; exit 1; }
list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
c_files >"$list"
looked_at "$(wc -l <"$list")"
# One line a place: "file:line:column: error: code should be clang-formatted".
{ xargs -r -n 16 -P "$LINT_JOBS" clang-format --dry-run -Werror <"$list" 2>&1 || true; } |
  sed -n 's/^\([^ :]*:[0-9]*\):[0-9]*: error: .*/\1: is not as clang-format writes it (clang-format -i)/p' | collect
finish format
