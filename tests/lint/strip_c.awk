# Blanks comments out of C source, and the text of literals where strings is set. Writes file, line number and text of
# each line, with tabs between. State over lines: in_block (inside /* */).
FNR == 1 {
  in_block = 0
}
{
  line = $0
  out = ""
  i = 1
  n = length(line)
  while (i <= n) {
    c = substr(line, i, 1)
    two = substr(line, i, 2)
    if (in_block) {
      if (two == "*/") { in_block = 0; i += 2 } else i++
      continue
    }
    if (two == "//") break
    if (two == "/*") { in_block = 1; out = out " "; i += 2; continue }
    if (c == "\"" || c == "'") {
      quote = c
      text = c
      i++
      while (i <= n) {
        c = substr(line, i, 1)
        if (c == "\\") { text = text substr(line, i, 2); i += 2; continue }
        text = text c
        i++
        if (c == quote) break
      }
      # The path of an include is no text.
      out = out ((strings != "" && line !~ /^[ \t]*#[ \t]*include/) ? quote quote : text)
      continue
    }
    out = out c
    i++
  }
  printf "%s\t%d\t%s\n", FILENAME, FNR, out
}
