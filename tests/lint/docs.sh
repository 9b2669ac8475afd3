#!/usr/bin/env bash
# What the repository says of itself: its top level, paths of the machine it was written on, help for every setting and
# metric, links in Markdown, migrations in pairs, actions of the audit log, single tests that documents and make help show.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

TOP_LEVEL='^(services|proto|common|gateway|deploy|tests|Makefile|docker-compose\.yml|README\.md|LICENSE|\..*)$'
SERVICE_FILES='main.c NAME_handlers.c queries README.md migrations'

top_level() {
  cut -d/ -f1 "$list" | sort -u | without "$TOP_LEVEL" | sed 's/$/:1: does not belong on the top level/'
}

# Folders that exist on one machine only, and addresses that only one network knows; /tmp/bulkhead-* is for temporary
# files that a program names itself, and in a container /tmp is nobody's machine. The folder of these scripts names such paths on purpose.
machine_paths() {
  local pattern='(^|[^A-Za-z0-9_.}$*@-])(/work/|/home/[a-z]|/root/|/Users/[A-Za-z]|/tmp/[A-Za-z0-9])|"resolved": *"http'
  without '^tests/lint/' <"$list" | tr '\n' '\0' | { xargs -0 -r grep -InHE "$pattern" || true; } |
    sed -E 's|/tmp/bulkhead-||g; /^(deploy\/(docker|k8s)\/|docker-compose\.yml:)/s|/tmp/||g' | { grep -E "$pattern" || true; } |
    sed -E 's/^([^:]*:[0-9]+):.*/\1: a path or an address of one machine/'
}

# Each entry of a table of `struct setting` has a name in capitals and a sentence of help.
settings_help() {
  only '\.[ch]$' <"$list" | without '^tests/' | blank_comments | awk -F'\t' '
    function check() {
      if (entry == "")
        return
      if (entry !~ /\.name = "[A-Z][A-Z0-9_]*"/)
        printf "%s:%d: the name of a setting is in capitals\n", file, line
      if (entry !~ /\.help =[ ]*"[^"]/)
        printf "%s:%d: a setting without help\n", file, line
      entry = ""
    }
    $1 != file { check(); inside = 0 }
    $3 ~ /struct setting [a-z_]+\[[^]]*\] = \{/ { inside = 1 }
    inside && $3 ~ /^[ ]*\};/ { check(); inside = 0 }
    inside && $3 ~ /\.name =/ { check(); line = $2 }
    inside && ($3 ~ /\.name =/ || entry != "") { entry = entry " " $3 }
    { file = $1 }
    END { check() }'
}

# Names after https://prometheus.io/docs/practices/naming/
metrics_help() {
  only '\.def$' <"$list" | xargs -r grep -nH '^METRIC(' | awk '
    {
      at = $0
      sub(/:METRIC.*/, "", at)
      text = $0
      sub(/^[^(]*\(/, "", text)
      split(text, part, /, */)
      type = part[2]
      name = part[3]
      gsub(/"/, "", name)
      if (text !~ /, "[^"]+.*\."\)$/)
        printf "%s: a metric without a sentence of help\n", at
      if (type == "COUNTER" && name !~ /_total$/)
        printf "%s: the name of a counter ends in _total\n", at
      if (type == "HISTOGRAM" && name !~ /_seconds$/)
        printf "%s: the name of a histogram of durations ends in _seconds\n", at
      if (type == "GAUGE" && name ~ /_total$/)
        printf "%s: the name of a gauge does not end in _total\n", at
      if (name in seen)
        printf "%s: %s comes twice\n", at, name
      seen[name] = 1
    }' || true
}

links() {
  # shellcheck disable=SC2016 # the backquotes are awk's
  only '\.md$' <"$list" | xargs -r awk -v list="$list" '
    BEGIN { while ((getline path < list) > 0) { exists[path] = 1; while (sub(/\/[^\/]*$/, "", path)) exists[path] = 1 } }
    FNR == 1 { fenced = 0; folder = FILENAME; if (!sub(/\/[^\/]*$/, "", folder)) folder = "" }
    /^[ ]*(```|~~~)/ { fenced = !fenced; next }
    fenced { next }
    {
      text = $0
      gsub(/`[^`]*`/, "", text)
      while (match(text, /\]\([^() ]+\)/)) {
        check(substr(text, RSTART + 2, RLENGTH - 3))
        text = substr(text, RSTART + RLENGTH)
      }
    }
    function check(target,    path, anchor) {
      if (target ~ /^[a-z]+:/)
        return
      path = target
      sub(/#.*/, "", path)
      anchor = index(target, "#") ? substr(target, index(target, "#") + 1) : ""
      path = path == "" ? FILENAME : normal(folder == "" ? path : folder "/" path)
      if (!(path in exists))
        printf "%s:%d: the link to %s leads nowhere\n", FILENAME, FNR, target
      else if (anchor != "" && path ~ /\.md$/ && !has_heading(path, anchor))
        printf "%s:%d: %s has no heading #%s\n", FILENAME, FNR, path, anchor
    }
    # Without ./ and ../ and a slash at the end.
    function normal(path) {
      gsub(/\/\.\//, "/", path)
      sub(/^\.\//, "", path)
      while (sub(/(^|\/)(\.?[^\/.])[^\/]*\/\.\.(\/|$)/, "/", path)) sub(/^\//, "", path)
      sub(/\/$/, "", path)
      return path
    }
    function has_heading(path, anchor,    heading, found) {
      found = 0
      while ((getline heading < path) > 0)
        if (heading ~ /^#+ /) {
          sub(/^#+ +/, "", heading)
          heading = tolower(heading)
          gsub(/[^a-z0-9 _-]/, "", heading)
          gsub(/ /, "-", heading)
          if (heading == anchor)
            found = 1
        }
      close(path)
      return found
    }'
}

# A migration that cannot be taken back, and a service that is built unlike the others.
services() {
  while IFS= read -r up; do
    [ -f "${up%.up.sql}.down.sql" ] || printf '%s:1: there is no .down.sql beside it\n' "$up"
  done < <(only '\.up\.sql$' <"$list")
  for main in services/*/main.c; do
    [ -f "$main" ] || continue
    local name=${main#services/}
    name=${name%/main.c}
    for part in $SERVICE_FILES; do
      [ -e "services/$name/${part/NAME/$name}" ] || printf '%s:1: services/%s has no %s\n' "$main" "$name" "${part/NAME/$name}"
    done
  done
}

# The actions of the audit log: those that auth writes are the ones that can be asked for, and the README explains each.
audit_actions() {
  local actions=services/auth/audit_actions.def readme=services/auth/README.md
  [ -f "$actions" ] || return 0
  # shellcheck disable=SC2016 # the backquotes are of Markdown
  only '^services/auth/[^/]*\.c$' <"$list" | xargs awk -F'"' -v actions="$actions" -v readme="$readme" '
    BEGIN {
      while ((getline line < readme) > 0) text = text line "\n"
      while ((getline line < actions) > 0)
        if (split(line, part, "\"") == 3) listed[part[2]] = 1
    }
    {
      for (i = 2; i <= NF; i += 2)
        if ($i ~ /^[a-z_]+\.[a-z_]+$/) {
          written[$i] = 1
          if (!($i in listed)) printf "%s:%d: the action %s is not in %s\n", FILENAME, FNR, $i, actions
        }
    }
    END {
      for (action in listed) {
        if (!(action in written)) printf "%s:1: nothing writes %s\n", actions, action
        if (!index(text, "`" action "`")) printf "%s:1: the action %s is not explained\n", readme, action
      }
    }' /dev/null
}

# folders_of TARGET: prints where the tests are that `make TARGET` runs.
folders_of() {
  case $1 in
  unit-*) echo "tests/unit/${1#unit-}" ;;
  component-*) echo "tests/component/${1#component-}" ;;
  *) echo "tests/${1#*=}" ;;
  esac
}

# has_test FOLDER NAME: tells whether there is a test for TEST=NAME, which tests/named explains.
has_test() {
  local pattern=$2 test
  [[ $pattern == */* ]] || pattern="*$pattern*"
  while IFS= read -r test; do
    # shellcheck disable=SC2053 # the right side is a pattern
    [[ $test == $pattern ]] && return
  done < <(grep -rhE '^[A-Za-z]*Test\(' "$1" 2>/dev/null | sed -E 's/^[A-Za-z]*Test\(([A-Za-z0-9_]+), *([A-Za-z0-9_]+).*/\1\/\2/')
  return 1
}

# `suite/name` stands for any test.
test_examples() {
  local example='make ((unit|component)-[a-z0-9]+|test ONLY=[a-z0-9]+) TEST=[A-Za-z0-9_/*]+' place target name
  { grep -E '(\.md|^Makefile)$' <"$list" || true; } | { xargs -r grep -noHE "$example" || true; } | sed 's/:make /\t/; s/ TEST=/\t/' |
    while IFS=$'\t' read -r place target name; do
      [ "$name" = suite/name ] || has_test "$(folders_of "$target")" "$name" ||
        printf '%s: make %s TEST=%s chooses no test\n' "$place" "$target" "$name"
    done
}

list=$(mktemp)
trap 'rm -f "$list" "$LINT_FINDINGS"' EXIT
all_files >"$list"
looked_at "$(wc -l <"$list")"
top_level | collect
machine_paths | collect
settings_help | collect
metrics_help | collect
links | collect
services | collect
audit_actions | collect
test_examples | collect
finish docs
