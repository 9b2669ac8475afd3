#include "services/auth/session_names.h"

#include <stddef.h>

#include "common/base/plain_text.h"
#include "common/base/utf8.h"

#define MAX_CHARACTERS 128

bool session_name_is_plain(const char *name)
{
  return plain_text_check(slice_from_string(name));
}

const char *session_name_of_agent(const char *agent, struct arena *arena)
{
  char *name = arena_alloc(arena, (size_t)MAX_CHARACTERS * 4 + 1);
  struct slice text = utf8_valid(slice_from_string(agent)) ? slice_from_string(agent) : SLICE("");
  name[plain_text_copy(text, MAX_CHARACTERS, name)] = '\0';
  return name;
}
