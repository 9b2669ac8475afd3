#!/usr/bin/env bash
# Calls and habits that the style sheet bans, outside comments and literals, with what to use in their place.
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

MAX_LINES=500

# name<TAB>instead
banned_calls() {
  cat <<'LIST'
strcpy	arena_string or memcpy with the size known
stpcpy	strbuf_add_string
strcat	strbuf_add_string
strncpy	arena_string; it does not terminate
strncat	strbuf_add
sprintf	strbuf_printf or snprintf
vsprintf	strbuf_vprintf or vsnprintf
strtok	slice_find
strtok_r	slice_find
gets	fgets
atoi	slice_to_int64; it cannot tell an error
atol	slice_to_int64; it cannot tell an error
atoll	slice_to_int64; it cannot tell an error
atof	strtod with its end checked
scanf	jsontext_reader or slice_to_int64
sscanf	jsontext_reader or slice_to_int64
fscanf	jsontext_reader or slice_to_int64
alloca	the arena
strdupa	arena_string
system	posix_spawn
popen	posix_spawn
rand	random_below
srand	random_below
random	random_below
srandom	random_below
drand48	random_below
rand_r	random_below
tmpnam	mkstemp
tempnam	mkstemp
mktemp	mkstemp
asctime	clock_format_rfc3339
ctime	clock_format_rfc3339
gmtime	gmtime_r
localtime	clock_format_rfc3339; all times are UTC
gethostbyname	getaddrinfo
assert	CHECK, which stays on in release builds
vfork	posix_spawn
LIST
}

# Reads what blank_literals writes. A member of that name (after . or ->) is no call of the function.
scan_calls() {
  awk -F'\t' '
    FNR == NR { instead[$1] = $2; next }
    {
      text = $3
      while (match(text, /[A-Za-z_][A-Za-z_0-9]*[ ]*\(/)) {
        name = substr(text, RSTART, RLENGTH)
        before = RSTART > 1 ? substr(text, RSTART - 1, 1) : ""
        sub(/[ ]*\($/, "", name)
        if ((name in instead) && before != "." && before != ">" && !is_excepted($1, name))
          printf "%s:%d: %s is banned; use %s\n", $1, $2, name, instead[name]
        text = substr(text, RSTART + RLENGTH)
      }
      if ($3 ~ /^[ ]*typedef[ ]+(struct|union|enum)[ {]/ && $3 !~ /\(/)
        printf "%s:%d: no typedef for structs, unions and enums\n", $1, $2
    }
    # Tests start programs and read what they print.
    function is_excepted(path, called) {
      return path ~ /^tests\// && called == "popen"
    }' "$calls" -
}

# Where tests wait, they wait for something, not for time. A loop that asks a server whether it is there may pause, with
# usleep, but in a unit test there is no server.
scan_sleeps() {
  awk -F'\t' '
    $3 ~ /(^|[^A-Za-z_])sleep[ ]*\(/ || ($1 ~ /^tests\/unit\// && $3 ~ /(^|[^A-Za-z_])(usleep|nanosleep)[ ]*\(/) {
      printf "%s:%d: wait for an event or a counter, not for time\n", $1, $2
    }'
}

# Unfinished work has no place in the tree, comments included.
scan_text() {
  # shellcheck disable=SC2016  # $0 is a field of awk
  xargs -r awk -v max="$MAX_LINES" '
    /(^|[^A-Za-z_])(TODO|FIXME|XXX|HACK)([^A-Za-z_]|$)/ { printf "%s:%d: unfinished work\n", FILENAME, FNR }
    /[ \t]$/ { printf "%s:%d: white space at the end of the line\n", FILENAME, FNR }
    length($0) > 120 { printf "%s:%d: the line has more than 120 columns\n", FILENAME, FNR }
    FNR == max + 1 { printf "%s:%d: the file has more than %d lines\n", FILENAME, FNR, max }'
}

calls=$(mktemp)
list=$(mktemp)
code=$(mktemp)
trap 'rm -f "$calls" "$list" "$code" "$LINT_FINDINGS"' EXIT
banned_calls >"$calls"
c_files >"$list"
blank_literals <"$list" >"$code"
looked_at "$(wc -l <"$list")"
scan_calls <"$code" | collect
scan_sleeps <"$code" | collect
scan_text <"$list" | collect
finish banned
