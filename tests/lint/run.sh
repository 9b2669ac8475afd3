#!/usr/bin/env bash
# All lints one after the other, or those that are named; all run, also after one has failed. The last line says how it
# went.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lints=("$@")
[ ${#lints[@]} -gt 0 ] || lints=(selftest layers banned comments format docs shell cppcheck tidy)
failed=()
for lint in "${lints[@]}"; do
  "$here/$lint.sh" || failed+=("$lint")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: %d of %d failed: %s\n' "${#failed[@]}" "${#lints[@]}" "${failed[*]}"
  exit 1
fi
printf 'lint: all %d passed\n' "${#lints[@]}"
