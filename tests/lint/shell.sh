#!/usr/bin/env bash
# Every shell script passes shellcheck and says how it is run.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

command -v shellcheck >/dev/null || { echo "lint shell: shellcheck is missing (apt-get install shellcheck)"; exit 1; }

# By name or by first line.
scripts() {
  all_files | while IFS= read -r file; do
    case $file in
    *.sh) printf '%s\n' "$file" ;;
    *.*) ;;
    *) if head -c 64 "$file" | head -n 1 | grep -qaE '^#!.*[/ ](ba|da)?sh( |$)'; then printf '%s\n' "$file"; fi ;;
    esac
  done
}

list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
scripts >"$list"
looked_at "$(wc -l <"$list")"
# SC1091: a sourced file whose name is put together at run time cannot be followed.
# SC2065: deploy/docker/test is a program of ours.
# SC2317: functions that are called by a name in a variable look unreachable.
# SC2015: "a && b || c" is used where b cannot fail.
# SC2001: sed reads better than a pattern of the shell where there is more than one.
# SC2030, SC2031: that a subshell keeps its changes to itself is why it is one.
{ xargs -r -n 8 -P "$LINT_JOBS" shellcheck -x -e SC1091,SC2001,SC2065,SC2317,SC2015,SC2030,SC2031 -f gcc <"$list" 2>&1 || true; } |
  sed 's/^\([^ :]*:[0-9]*\):[0-9]*: /\1: /' | collect
while IFS= read -r file; do
  if ! head -n 3 "$file" | grep -qE '^#!|shellcheck shell='; then
    printf '%s:1: neither #! nor "# shellcheck shell=" says which shell this is for\n' "$file" | collect
  fi
done <"$list"
finish shell
