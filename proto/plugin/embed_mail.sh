#!/bin/sh
# Prints a C file that defines `const struct mail_template_set <service>_mail_templates` (common/mail/template.h) with the
# texts of <folder>/NAME.txt and NAME.html in it. Refuses a file without its other half and foreign names.
#
#   sh proto/plugin/embed_mail.sh auth services/auth/mail
# shellcheck source=proto/plugin/embed.sh
. "$(dirname "$0")/embed.sh"

names=
for file in "$folder"/*; do
  base=${file##*/}
  name=${base%.*}
  case $base in
  *.html)
    [ -e "$folder/$name.txt" ] || refuse "$file: $name.txt is missing beside it; a mail has both"
    continue
    ;;
  *.txt) [ -e "$folder/$name.html" ] || refuse "$file: $name.html is missing beside it; a mail has both" ;;
  *) refuse "$file: the name must end in .txt or .html" ;;
  esac
  case $name in
  '' | *[!a-z0-9_]*) refuse "$file: the name must be of a-z, 0-9 and _" ;;
  esac
  head -n 1 "$file" | grep -q '^Subject: .' || refuse "$file:1: begin with a line \"Subject: ...\" and an empty line"
  [ -z "$(sed -n 2p "$file")" ] || refuse "$file:2: this line must be empty, because the text begins below it"
  names="$names $name"
done
[ -n "$names" ] || refuse "$folder: it holds no template"

echo "// Made by embed_mail.sh from the mails of the $service service. Do not edit."
echo '#include "common/mail/template.h"'
echo
echo "extern const struct mail_template_set ${service}_mail_templates;"
echo
echo "static const struct mail_template templates[] = {"
for name in $names; do
  echo "  {.name = \"$name\", .text = SLICE_INIT("
  literal "$folder/$name.txt"
  echo "  ), .html = SLICE_INIT("
  literal "$folder/$name.html"
  echo "  )},"
done
echo "};"
echo
echo "const struct mail_template_set ${service}_mail_templates = {templates, sizeof(templates) / sizeof(templates[0])};"
