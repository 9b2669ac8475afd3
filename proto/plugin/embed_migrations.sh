#!/bin/sh
# Prints a C file that defines `const struct migration_set <service>_migrations` (common/storage/migrate.h) with the
# texts of <folder>/NNNN_name.up.sql and .down.sql in it. Refuses gaps, missing halves, doubled numbers, foreign names,
# empty files and declarations that cannot be read, for each of them would surface only when an operator migrates.
#
# The first line of NNNN_name.up.sql may be "-- compatible from: MMMM": releases whose last migration is MMMM, or a later
# one, run with a schema that has NNNN (services/README.md).
#
#   sh proto/plugin/embed_migrations.sh item services/item/migrations
# shellcheck source=proto/plugin/embed.sh
. "$(dirname "$0")/embed.sh"

# Prints the number that the first line declares, without leading zeros; 0 where it declares nothing.
compatible_from() {
  awk -v file="$1" -v own="$2" '
    { sub(/\r$/, "") }
    FNR == 1 && /^-- compatible from: [0-9][0-9][0-9][0-9]$/ { from = $4 + 0; next }
    tolower($0) ~ /^ *--+ *compatible( from)? *:/ {
      problem = sprintf("%s:%d: this must be the first line, and read \"-- compatible from: %s\" with the number of the " \
        "last migration of the oldest release that still runs once %s is applied", file, FNR, own, own)
      exit
    }
    END {
      if (problem == "" && NR > 0 && from > own + 0)
        problem = sprintf("%s:1: compatible from: %04d is a later migration than this one", file, from)
      if (problem != "") { print problem > "/dev/stderr"; exit 1 }
      print from + 0
    }' "$1"
}

count=0
names=
for file in "$folder"/*.sql; do
  [ -e "$file" ] || continue
  base=${file##*/}
  case $base in
  *.up.sql) stem=${base%.up.sql} ;;
  *.down.sql)
    [ -e "$folder/${base%.down.sql}.up.sql" ] || refuse "$file: ${base%.down.sql}.up.sql is missing beside it; write it, or delete this file"
    continue
    ;;
  *) refuse "$file: the name must end in .up.sql or .down.sql" ;;
  esac
  number=${stem%%_*}
  name=${stem#*_}
  case $number in
  [0-9][0-9][0-9][0-9]) ;;
  *) refuse "$file: the name must begin with four digits and a _, such as 0001_items.up.sql" ;;
  esac
  case $name in
  '' | "$stem" | *[!a-z0-9_]*) refuse "$file: the name behind the number must be of a-z, 0-9 and _" ;;
  esac
  count=$((count + 1))
  expected=$(printf '%04d' "$count")
  [ "$number" = "$expected" ] || refuse "$file: number $expected was expected here; numbers go up by one, each once"
  down=$folder/$stem.down.sql
  [ -e "$down" ] || refuse "$file: $stem.down.sql is missing beside it; write what undoes it"
  [ -s "$file" ] || refuse "$file: it is empty; write its SQL, or a comment that says why there is none"
  [ -s "$down" ] || refuse "$down: it is empty; write its SQL, or a comment that says why there is none"
  names="$names $stem"
done

echo "// Made by embed_migrations.sh from the migrations of the $service service. Do not edit."
echo '#include "common/storage/migrate.h"'
echo
echo "extern const struct migration_set ${service}_migrations;"
if [ "$count" -gt 0 ]; then
  echo
  echo "static const struct migration migrations[] = {"
  version=0
  for stem in $names; do
    version=$((version + 1))
    from=$(compatible_from "$folder/$stem.up.sql" "${stem%%_*}")
    echo "  {.version = $version, .name = \"${stem#*_}\", .compatible_from = $from, .up = SLICE_INIT("
    literal "$folder/$stem.up.sql"
    echo "  ), .down = SLICE_INIT("
    literal "$folder/$stem.down.sql"
    echo "  )},"
  done
  echo "};"
fi
echo
echo "const struct migration_set ${service}_migrations = {"
echo "  .schema = \"$service\","
if [ "$count" -gt 0 ]; then
  echo "  .migrations = migrations,"
  echo "  .count = sizeof(migrations) / sizeof(migrations[0]),"
fi
echo "};"
