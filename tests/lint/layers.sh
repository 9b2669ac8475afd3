#!/usr/bin/env bash
# Proves that includes run one way (README, "Who knows what"): the rings of common/, vendors' headers each in one
# folder, no vendor's header behind a header that other folders include, services apart from each other, no
# SQL in C.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

# file<TAB>line<TAB>kind (< or ")<TAB>path of every include.
includes() {
  c_files | only '^(common|gateway|services|proto|tests|deploy)/' | blank_comments | awk -F'\t' '
    $3 ~ /^[ ]*#[ ]*include[ ]*[<"]/ {
      text = $3
      sub(/^[ ]*#[ ]*include[ ]*/, "", text)
      kind = substr(text, 1, 1)
      path = substr(text, 2)
      sub(/[>"].*/, "", path)
      printf "%s\t%d\t%s\t%s\n", $1, $2, kind, path
    }'
}

# The words that begin a statement, at the start of a string literal.
sql_in_c() {
  c_files | only '^(services|gateway)/' | blank_comments |
    awk -F'\t' '
      /"[ (]*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|TRUNCATE|BEGIN|COMMIT|ROLLBACK|LISTEN|NOTIFY|COPY)[ ;"]/ {
        printf "%s:%d: SQL belongs into services/NAME/queries/*.sql, which the build checks\n", $1, $2
      }'
}

# The Makefile links by a table of its own; it must say what layers.awk says.
makefile_agrees() {
  [ -f Makefile ] || return 0
  awk '
    FNR == NR {
      if ($0 ~ /^ *uses\["/) {
        split($0, part, "\"")
        known[part[2]] = part[4]
      }
      next
    }
    /^USES_[a-z]+ *:=/ {
      name = $1
      sub(/^USES_/, "", name)
      list = $0
      sub(/^[^=]*= */, "", list)
      n = split(list, has, " ")
      for (i = 1; i <= n; i++)
        if (index(" " known[name] " ", " " has[i] " ") == 0)
          printf "Makefile:%d: %s is linked with %s, which tests/lint/layers.awk does not allow it\n", FNR, name, has[i]
    }' "$LINT_SELF/layers.awk" Makefile
}

list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
includes >"$list"
looked_at "$(cut -f1 "$list" | sort -u | wc -l)"
all_files | only '\.(h|def)$' | awk -F'\t' -f "$LINT_SELF/layers.awk" - "$list" | collect
sql_in_c | collect
makefile_agrees | collect
finish layers
