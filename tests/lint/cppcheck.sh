#!/usr/bin/env bash
# cppcheck over our own C; what is left out is in cppcheck.txt, each with its reason. cppcheck keeps what it knows of
# unchanged files under $LINT_OUT/cppcheck.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

command -v cppcheck >/dev/null || { echo "lint cppcheck: cppcheck is missing (apt-get install cppcheck)"; exit 1; }
cache=$LINT_OUT/cppcheck
mkdir -p "$cache"
compile_flags
list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
# Tests are left to clang-tidy: cppcheck cannot read criterion's macros.
c_files | only '\.c$' | without '^tests/(unit|component|e2e|fault)/' >"$list"
looked_at "$(wc -l <"$list")"
{ cppcheck --quiet -j "$LINT_JOBS" --std=c11 --language=c --platform=unix64 --library=posix --library=gnu \
  --enable=warning,style,performance,portability --inline-suppr --inconclusive --max-configs=1 \
  --suppressions-list="$LINT_SELF/cppcheck.txt" --cppcheck-build-dir="$cache" \
  -D__GNUC__=12 -D__x86_64__ -D__linux__ -D_GNU_SOURCE -I. ${LINT_GEN:+-I"$LINT_GEN"} \
  --template='{file}:{line}: {id}: {message}' --file-list="$list" 2>&1 || true; } | sed "s|^$LINT_ROOT/||" | collect
finish cppcheck
