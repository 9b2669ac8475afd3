#!/usr/bin/env bash
# make mutate: what it makes of a line, and what it refuses.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"

cat >"$folder/sample.c" <<'END'
static const int limit = 1 < 2;
int sample(int a, const char *text)
{
  // if (a < 1 && a > 2)
  if (a < 10 && text[0] != '<')
    return report(a + 1, "a < b && c");
  CHECK(a > 0);
  forget(a);
  a = 3;
  return a == 4;
}
END
perl tests/mutate/mutants.pl "$folder/sample.c" >"$folder/mutants" || fail "mutants.pl ended with $?"

# has LINE TEXT: a mutant of that line becomes that text.
has() {
  awk -F'\t' -v line="$1" -v text="$2" '$1 == line { sub(/^ */, "", $3); if ($3 == text) found = 1 } END { exit !found }' \
    "$folder/mutants" || fail "no mutant of line $1 is: $2"
}
has 5 "if (!(a < 10 && text[0] != '<'))"
has 5 "if (0 && (a < 10 && text[0] != '<'))"
has 5 "if (a <= 10 && text[0] != '<')"
has 5 "if (a < 10 || text[0] != '<')"
has 5 "if (a < 10 && text[0] == '<')"
has 6 'return report(a, "a < b && c");'
has 8 ";"
has 9 ";"
has 10 "return a != 4;"
# Declarations, comments, literals and CHECKs are left alone.
cut -f1 "$folder/mutants" | grep -qxE '1|4|7' && fail "lines that must stay were changed: $(cat "$folder/mutants")"
grep -qF 'a <= b' "$folder/mutants" && fail "a literal was changed"

# refuses WHY ARGUMENT...: make mutate fails before it changes anything.
refuses() {
  local why=$1 said
  shift
  said=$(env "$@" tests/mutate/run 2>&1) && fail "it began with $*"
  case $said in *"$why"*) ;; *) fail "with $* it says: $said" ;; esac
}
refuses "name a C file" FILE=
refuses "does not exist" FILE=common/base/nowhere.c
refuses "is not a .c file" FILE=README.md
refuses "must be a number" FILE=common/base/slice.c LIMIT=many
echo "ok"
