// Identifiers. The rules of protoc-c 1.4 (its c_helpers.cc): a lower name gets "_" before every capital that follows
// something else than a capital, a struct name drops "_" and raises the letter behind it, the parts of a full name are
// joined by "__". Digits count as lower case. Only ASCII is possible in protobuf's names.
#include "proto/plugin/names.h"

#include <ctype.h>
#include <string.h>

#include "common/base/strbuf.h"

static bool is_upper(char c)
{
  return c >= 'A' && c <= 'Z';
}

static char to_lower(char c)
{
  return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

static char to_upper(char c)
{
  return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static const char *finish(struct arena *arena, struct strbuf *text)
{
  const char *name = arena_string(arena, strbuf_slice(text));
  strbuf_free(text);
  return name;
}

static const char *lower_joined(struct arena *arena, const char *full_name, const char *joint)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  bool after_upper = true;  // no "_" at the start of a part
  for (const char *at = full_name; *at != '\0'; at++) {
    if (*at == '.') {
      strbuf_add_string(&text, joint);
      after_upper = true;
      continue;
    }
    if (is_upper(*at) && !after_upper)
      strbuf_add_byte(&text, '_');
    strbuf_add_byte(&text, to_lower(*at));
    after_upper = is_upper(*at);
  }
  return finish(arena, &text);
}

const char *name_struct(struct arena *arena, const char *full_name)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  bool raise = true;
  for (const char *at = full_name; *at != '\0'; at++) {
    if (*at == '.' || *at == '_') {
      if (*at == '.')
        strbuf_add_string(&text, "__");
      raise = true;
      continue;
    }
    strbuf_add_byte(&text, raise ? to_upper(*at) : *at);
    raise = false;
  }
  return finish(arena, &text);
}

const char *name_lower(struct arena *arena, const char *full_name)
{
  return lower_joined(arena, full_name, "__");
}

const char *name_own(struct arena *arena, const char *full_name)
{
  return lower_joined(arena, full_name, "_");
}

const char *name_member(struct arena *arena, const char *method)
{
  return lower_joined(arena, method, "_");
}

bool name_is_keyword(const char *name)
{
  static const char *const keywords[] = {
      "auto",   "break",    "case",     "char",   "const",  "continue", "default", "do",     "double",  "else",
      "enum",   "extern",   "float",    "for",    "goto",   "if",       "inline",  "int",    "long",    "register",
      "return", "restrict", "short",    "signed", "sizeof", "static",   "struct",  "switch", "typedef", "union",
      "void",   "unsigned", "volatile", "while",  "asm",    "typeof",   "true",    "false",  "bool",
  };
  for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
    if (strcmp(name, keywords[i]) == 0)
      return true;
  }
  return false;
}

const char *name_stem(struct arena *arena, const char *proto_file)
{
  static const char ending[] = ".proto";
  size_t size = strlen(proto_file);
  if (size > sizeof(ending) - 1 && strcmp(proto_file + size - (sizeof(ending) - 1), ending) == 0)
    size -= sizeof(ending) - 1;
  return arena_string(arena, slice_make(proto_file, size));
}

const char *name_guard(struct arena *arena, const char *stem)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "BULKHEAD_GEN_");
  for (const char *at = stem; *at != '\0'; at++)
    strbuf_add_byte(&text, isalnum((unsigned char)*at) ? to_upper(*at) : '_');
  strbuf_add_string(&text, "_BH_H");
  return finish(arena, &text);
}
