# shellcheck shell=bash
# What every lint needs: where the tree is, which files it has, how findings are told. Sourced, not run.
#
# LINT_ROOT is the tree to look at (default: the one that this file is in). LINT_OUT is where caches and generated headers
# go (default: build/lint, whatever is being built elsewhere).
# A finding is one line "file:line: message". The last line of a lint sums it up: "lint NAME: ok, 12 files" or
# "lint NAME: 3 findings", and its exit status is 0 or 1.
set -euo pipefail
export LC_ALL=C

LINT_SELF=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LINT_ROOT=$(cd "${LINT_ROOT:-$LINT_SELF/../..}" && pwd)
LINT_OUT=${LINT_OUT:-build/lint}
LINT_JOBS=${LINT_JOBS:-2}
cd "$LINT_ROOT"

LINT_FINDINGS=$(mktemp)
LINT_FILES=0
trap 'rm -f "$LINT_FINDINGS"' EXIT

# Every file of the repository, also those not yet added; nothing that git ignores.
all_files() {
  if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$LINT_ROOT" ]; then
    git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
      if [ -f "$file" ]; then printf '%s\n' "$file"; fi
    done
  else
    find . \( -name .git -o -name build -o -name .run -o -name node_modules \) -prune -o -type f -print | sed 's|^\./||'
  fi | sort -u
}

# C sources and headers that are ours.
c_files() {
  all_files | { grep -E '\.[ch]$' || true; }
}

# Keeps the paths on standard input that match; none is no error.
only() {
  grep -E "$1" || true
}
without() {
  grep -vE "$1" || true
}

# Keeps the findings on standard input, one a line.
collect() {
  cat >>"$LINT_FINDINGS"
}

# So many files were looked at.
looked_at() {
  LINT_FILES=$((LINT_FILES + $1))
}

finish() {
  local name=$1 count
  sort -t: -k1,1 -k2,2n -u "$LINT_FINDINGS"
  count=$(sort -u "$LINT_FINDINGS" | grep -c . || true)
  if [ "$count" -gt 0 ]; then
    printf 'lint %s: %d findings\n' "$name" "$count"
    exit 1
  fi
  # A lint that looked at nothing has proved nothing.
  if [ "$LINT_FILES" -eq 0 ]; then
    printf 'lint %s: found no file to look at\n' "$name"
    exit 1
  fi
  printf 'lint %s: ok, %d files\n' "$name" "$LINT_FILES"
}

# Reads paths, writes "path<TAB>line number<TAB>text" of each line, comments blanked. blank_comments keeps the text of
# literals, blank_literals blanks that too.
blank_comments() {
  xargs -r awk -f "$LINT_SELF/strip_c.awk"
}
blank_literals() {
  xargs -r awk -v strings=1 -f "$LINT_SELF/strip_c.awk"
}

# Makes the generated headers and sets LINT_CFLAGS, LINT_CFLAGS_NGINX (for gateway/nginx on top) and LINT_GEN as the
# Makefile has them. A tree without that target, such as the self-test's, needs none.
compile_flags() {
  LINT_CFLAGS='-std=gnu11 -D_GNU_SOURCE -I.'
  LINT_CFLAGS_NGINX=
  LINT_GEN=
  if [ -f Makefile ] && grep -q '^lint-flags:' Makefile; then
    if ! env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s VARIANT=debug OUT="$LINT_OUT" lint-flags >"$LINT_FINDINGS" 2>&1; then
      cat "$LINT_FINDINGS"
      echo "lint: the generated headers cannot be made"
      exit 1
    fi
    : >"$LINT_FINDINGS"
    # shellcheck disable=SC1091 # written by the Makefile just now
    . "$LINT_OUT/flags"
  fi
  export LINT_CFLAGS LINT_CFLAGS_NGINX LINT_GEN
}
