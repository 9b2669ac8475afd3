#include "services/auth/audit.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/compiler.h"
#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "services/auth/session_names.h"

// An id where it is one, else NULL: what a token holds need not be a UUID.
static const char *id_or_null(const char *id)
{
  return id != NULL && uuid_valid(slice_from_string(id)) ? id : NULL;
}

static const char *text_or_empty(const char *text)
{
  return text == NULL ? "" : text;
}

// Fills in what the call knows. Its texts are in the arena.
static void describe_call(struct call *call, struct auth_db_add_audit_event_params *params, struct arena *arena)
{
  if (params->actor_id == NULL)
    params->actor_id = arena_string(arena, call_caller_id(call));
  if (params->session_id == NULL)
    params->session_id = arena_string(arena, call_caller_session(call));
  params->address = arena_string(arena, call_client_address(call));
  params->user_agent = session_name_of_agent(arena_string(arena, call_user_agent(call)), arena);
  params->trace_id = arena_string(arena, call_trace_id(call));
}

static void describe_origin(const struct audit_origin *origin, struct auth_db_add_audit_event_params *params,
                            struct arena *arena)
{
  params->address = origin->address;
  params->user_agent = session_name_of_agent(origin->user_agent, arena);
  params->trace_id = origin->trace_id;
}

enum status audit_add(struct call *call, struct query_db db, const struct audit_entry *entry)
{
  struct arena arena;
  arena_init(&arena);
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  const char *target = entry->target_id == NULL ? entry->user_id : entry->target_id;
  struct auth_db_add_audit_event_params params = {.id = id,
                                                  .action = entry->action,
                                                  .result = entry->failed ? "failure" : "success",
                                                  .reason = text_or_empty(entry->reason),
                                                  .actor_id = entry->actor_id,
                                                  .user_id = id_or_null(entry->user_id),
                                                  .target_id = text_or_empty(target),
                                                  .session_id = entry->session_id,
                                                  .account_hash = text_or_empty(entry->account_hash),
                                                  .address = "",
                                                  .user_agent = entry->by_command ? "command" : "",
                                                  .trace_id = ""};
  if (entry->origin != NULL)
    describe_origin(entry->origin, &params, &arena);
  else if (call != NULL)
    describe_call(call, &params, &arena);
  params.actor_id = id_or_null(params.actor_id);
  params.session_id = id_or_null(params.session_id);
  enum status status = auth_db_add_audit_event(db, &params, &arena);
  arena_free(&arena);
  return status;
}

void audit_add_failure(struct call *call, const struct audit_entry *entry)
{
  struct audit_entry failure = *entry;
  failure.failed = true;
  enum status status = audit_add(call, query_on(service_pg(call_service(call))), &failure);
  if (status != STATUS_OK)
    log_warn("audit", "a failure could not be added to the audit log", LOG_STRING("action", entry->action),
             LOG_STATUS(status));
}

enum status audit_check_action(struct call *call, const char *action)
{
  static const char *const actions[] = {
#define ACTION(name) name,
#include "services/auth/audit_actions.def"
#undef ACTION
  };
  struct strbuf known;
  bool found = action[0] == '\0';
  strbuf_init(&known, 0);
  for (size_t i = 0; i < ARRAY_LEN(actions) && !found; i++) {
    found = strcmp(actions[i], action) == 0;
    strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", actions[i]);
  }
  enum status status = STATUS_OK;
  if (!found) {
    call_violation(call, "action", "is no action of the audit log");
    status = call_fail(call, STATUS_INVALID_ARGUMENT, "UNKNOWN_ACTION", "there is no action %s; there are: %s", action,
                       strbuf_cstring(&known));
  }
  strbuf_free(&known);
  return status;
}
