#!/usr/bin/env bash
# clang-tidy over every C file, with .clang-tidy of the root. A file is looked at again only when something that matters
# has changed: its preprocessed text with comments, the flags, .clang-tidy, or clang-tidy itself. Results are kept under
# $LINT_OUT/tidy by a hash of all that.
if [ "${1:-}" = --one ]; then
  # A child of the loop below: one file, its findings on standard output.
  file=$2
  flags=$LINT_CFLAGS
  case $file in gateway/nginx/*) flags="$flags $LINT_CFLAGS_NGINX" ;; esac
  # The analyser takes longest where criterion's macros unfold, and tests run under ASan and UBSan anyway.
  checks=
  case $file in tests/unit/* | tests/component/* | tests/e2e/* | tests/fault/*) checks='-clang-analyzer-*' ;; esac
  # A quarter of the analyser's usual bound on what it follows in one function finds the same here in a quarter of the time.
  bound='--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=50000'
  # shellcheck disable=SC2086 # the flags are many words
  if ! text=$(clang -E -C $flags "$file" 2>&1); then
    printf '%s\n' "$text" | sed -n 's/^\([^ :]*:[0-9]*\):[0-9]*: \(fatal \)*error: /\1: does not compile: /p'
    exit 0
  fi
  hash=$(printf '%s\n' "$LINT_TIDY_BASE" "$flags" "$checks" "$bound" "$text" | sha256sum | cut -d' ' -f1)
  result=$LINT_OUT/tidy/$hash
  if [ ! -f "$result" ]; then
    # shellcheck disable=SC2086
    clang-tidy --quiet --checks="$checks" $bound "$file" -- $flags >"$result.$$" 2>/dev/null || true
    mv "$result.$$" "$result"
  fi
  touch "$result"
  sed -nE "s#^$PWD/##; s#^\./##; s#^([^ :]*:[0-9]+):[0-9]+: (warning|error): #\1: #p" "$result"
  exit 0
fi
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

command -v clang-tidy >/dev/null || { echo "lint tidy: clang-tidy is missing (apt-get install clang-tidy)"; exit 1; }
mkdir -p "$LINT_OUT/tidy"
compile_flags
list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
# What the plugin's tests compile as data is generated or wrong on purpose.
c_files | only '\.c$' | without '^tests/unit/plugin/data/' >"$list"
looked_at "$(wc -l <"$list")"
LINT_TIDY_BASE=$(clang-tidy --version; cat .clang-tidy)
export LINT_TIDY_BASE LINT_OUT
xargs -r -n 1 -P "$LINT_JOBS" "$LINT_SELF/tidy.sh" --one <"$list" | collect
# A month without use: the file has changed since.
find "$LINT_OUT/tidy" -type f -mtime +30 -delete
finish tidy
