// The rules of protoc-c 1.4 (its c_helpers.cc): a lower name gets "_" before every capital that follows something else
// than a capital, a struct name drops "_" and raises the letter behind it, the parts of a full name are joined by "__".
// Digits count as lower case. Only ASCII is possible in protobuf's names.
#include "common/contract/c_names.h"

#include <string.h>

#include "common/base/compiler.h"
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

static const char *take_text(struct arena *arena, struct strbuf *text)
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
  return take_text(arena, &text);
}

const char *c_name_struct(struct arena *arena, const char *full_name)
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
  return take_text(arena, &text);
}

const char *c_name_lower(struct arena *arena, const char *full_name)
{
  return lower_joined(arena, full_name, "__");
}

const char *c_name_own(struct arena *arena, const char *full_name)
{
  return lower_joined(arena, full_name, "_");
}

const char *c_name_member(struct arena *arena, const char *method)
{
  return lower_joined(arena, method, "_");
}

static bool is_listed(const char *name, const char *const *list, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(name, list[i]) == 0)
      return true;
  return false;
}

static const char *const KEYWORDS[] = {
    "auto",   "break",    "case",     "char",   "const",  "continue", "default", "do",     "double",  "else",
    "enum",   "extern",   "float",    "for",    "goto",   "if",       "inline",  "int",    "long",    "register",
    "return", "restrict", "short",    "signed", "sizeof", "static",   "struct",  "switch", "typedef", "union",
    "void",   "unsigned", "volatile", "while",  "asm",    "typeof",   "true",    "false",  "bool",
};

bool c_name_is_keyword(const char *name)
{
  return is_listed(name, KEYWORDS, ARRAY_LEN(KEYWORDS));
}

// Names to which protoc-c adds "_": the keywords of C++.
static const char *const FIELD_KEYWORDS[] = {
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "const",
    "const_cast",
    "continue",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "not",
    "not_eq",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
};

const char *c_name_field(struct arena *arena, const char *field)
{
  char *name = arena_printf(arena, "%s_", field);
  for (char *at = name; *at != '\0'; at++)
    *at = to_lower(*at);
  size_t size = strlen(name) - 1;
  name[size] = '\0';
  if (is_listed(name, FIELD_KEYWORDS, ARRAY_LEN(FIELD_KEYWORDS)))
    name[size] = '_';
  return name;
}

bool c_name_field_compiles(const char *name)
{
  static const char *const TAKEN[] = {"base", "errno", "i386", "linux", "restrict", "typeof", "unix"};
  return !is_listed(name, TAKEN, ARRAY_LEN(TAKEN));
}

const char *c_name_stem(struct arena *arena, const char *proto_file)
{
  static const char ending[] = ".proto";
  size_t size = strlen(proto_file);
  if (size > sizeof(ending) - 1 && strcmp(proto_file + size - (sizeof(ending) - 1), ending) == 0)
    size -= sizeof(ending) - 1;
  return arena_string(arena, slice_make(proto_file, size));
}

static bool is_alphanumeric(char c)
{
  return is_upper(to_upper(c)) || (c >= '0' && c <= '9');
}

const char *c_name_guard(struct arena *arena, const char *stem)
{
  char *guard = arena_printf(arena, "BULKHEAD_GEN_%s_BH_H", stem);
  for (char *at = guard; *at != '\0'; at++)
    *at = is_alphanumeric(*at) ? to_upper(*at) : '_';
  return guard;
}
