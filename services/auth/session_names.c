#include "services/auth/session_names.h"

#include <stddef.h>

#include "common/base/plain_text.h"
#include "common/base/utf8.h"
#include "common/service/call.h"

#define MAX_CHARACTERS 128

enum status session_check_name(struct call *call, const char *field, const char *name)
{
  if (plain_text_check(slice_from_string(name)))
    return STATUS_OK;
  call_violation(call, field, PLAIN_TEXT_RULE);
  return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_REQUEST", "the %s is not accepted", field);
}

const char *session_name_of_agent(const char *agent, struct arena *arena)
{
  char *name = arena_alloc(arena, (size_t)MAX_CHARACTERS * 4 + 1);
  struct slice text = utf8_valid(slice_from_string(agent)) ? slice_from_string(agent) : SLICE("");
  name[plain_text_copy(text, MAX_CHARACTERS, name)] = '\0';
  return name;
}
