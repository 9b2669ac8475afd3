#!/usr/bin/env bash
# Comments read alone, as an editor shows them: the subject first, the field's words, one section marker.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

# Section markers are "// ---- title ----", between blank lines, so that no tool tears them; there is no other ruler.
scan_markers() {
  # shellcheck disable=SC2016  # $0 is a field of awk
  xargs -r awk '
    function fail(line, text) { printf "%s:%d: %s\n", FILENAME, line, text }
    FNR == 1 { after_marker = 0; before = "" }
    after_marker && $0 != "" { fail(FNR - 1, "a blank line follows a section marker") }
    { after_marker = 0 }
    /^[ \t]*(\/\/|\/?\*)[ \t]*---/ || /^[ \t]*\/\/[ \t]*[=*#~_][=*#~_][=*#~_]/ || /\/\/.*------*[ \t]*$/ {
      if ($0 !~ /^\/\/ ---- [^ -].* ----$/)
        fail(FNR, "a section marker is \"// ---- title ----\"")
      else {
        if (before != "" && FNR > 1) fail(FNR, "a blank line stands before a section marker")
        after_marker = 1
      }
    }
    { before = $0 }'
}

# A comment on a line of its own, its first word: a pronoun or a preposition leans on a name that the reader may not see.
scan_openings() {
  # shellcheck disable=SC2016  # $0 is a field of awk
  xargs -r awk '
    FNR == 1 { inside = 0 }
    /^[ \t]*\/\/ / {
      if (!inside && $0 ~ /^[ \t]*\/\/ (They|It|Of|Then|Likewise|Ditto|Nor|So does|As above)[ ,.]/)
        printf "%s:%d: begin a comment with its subject or its verb: it is read alone\n", FILENAME, FNR
      inside = 1
      next
    }
    { inside = 0 }'
}

# Old or private words, in comments and prose alike.
scan_words() {
  # shellcheck disable=SC2016  # $0 is a field of awk
  xargs -r awk '
    match($0, /(^|[^A-Za-z_])([Aa]new|[Ll]est|[Tt]here(of|in|by)|[Ww]here(of|in|by|upon)|[Ff]orerunners?|[Nn]obody'\''s|[Hh]itherto|[Ww]hence)([^A-Za-z_]|$)/) {
      word = substr($0, RSTART, RLENGTH)
      gsub(/[^A-Za-z'\'']/, "", word)
      printf "%s:%d: \"%s\" is not plain modern English\n", FILENAME, FNR, word
    }
    /(\/\/|^[A-Z#|-]).*, for (it|they|he|she|there|nobody|nothing|whoever) / {
      printf "%s:%d: write \"because\" for \"for\"\n", FILENAME, FNR
    }'
}

# The same marker in shell, make and Docker files.
scan_script_markers() {
  # shellcheck disable=SC2016  # $0 is a field of awk
  xargs -r awk '
    /^# .*-----*$/ && $0 !~ /^# ---- [^ -].* ----$/ {
      printf "%s:%d: a section marker is \"# ---- title ----\"\n", FILENAME, FNR
    }'
}

code=$(mktemp)
prose=$(mktemp)
trap 'rm -f "$code" "$prose" "$LINT_FINDINGS"' EXIT
c_files >"$code"
all_files | only '\.([ch]|def|md|proto|sql|sh)$|^Makefile$' | without '^tests/lint/' >"$prose"
looked_at "$(wc -l <"$prose")"
{ cat "$code"; all_files | only '\.def$'; } | scan_markers | collect
all_files | only '^(Makefile|deploy/|tests/|proto/|services/)' | without '\.([ch]|md|json|proto|sql)$|/corpus/|/data/' |
  scan_script_markers | collect
scan_openings <"$code" | collect
scan_words <"$prose" | collect
finish comments
