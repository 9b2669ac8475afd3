# shellcheck shell=sh
# What the scripts share that embed the files of a folder: sourced by each with its own arguments, it sets $service and
# $folder.
set -eu
LC_ALL=C
export LC_ALL

refuse() {
  echo "$1" >&2
  exit 1
}

if [ $# -ne 2 ]; then
  echo "usage: ${0##*/} <service> <folder>" >&2
  exit 2
fi
# shellcheck disable=SC2034
service=$1
folder=$2
[ -d "$folder" ] || refuse "$folder: it is not a folder"

# literal FILE: prints the file as string literals of C, one for each line.
#
# od gives every byte as three octal digits, which C reads back without any ambiguity; what is plain is written as itself,
# so that the literal can be read.
literal() {
  od -An -v -to1 "$1" | awk '
    BEGIN {
      # All printable characters but the quote, the backslash and the question mark (trigraphs).
      for (code = 32; code < 127; code++)
        if (code != 34 && code != 92 && code != 63) text[sprintf("%03o", code)] = sprintf("%c", code)
    }
    {
      for (i = 1; i <= NF; i++) {
        if (!open) { printf "    \""; open = 1 }
        if ($i == "012") { print "\\n\""; open = 0 }
        else if ($i in text) printf "%s", text[$i]
        else printf "\\%s", $i
      }
    }
    END { if (open) print "\"" }'
}
