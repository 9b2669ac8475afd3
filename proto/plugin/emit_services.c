// Writes services: a table of methods  (struct rpc_method, common/service/call.h), what calls a handler with its types,
// and the typed client.
#include "common/contract/c_names.h"
#include "proto/plugin/emit.h"

static const char *access_name(enum access access)
{
  switch (access) {
  case ACCESS_PUBLIC:
    return "ACCESS_PUBLIC";
  case ACCESS_AUTHENTICATED:
    return "ACCESS_AUTHENTICATED";
  case ACCESS_ROLE:
    return "ACCESS_ROLE";
  case ACCESS_INTERNAL:
    break;
  }
  return "ACCESS_INTERNAL";
}

// Writes what the handler gets beside the call: its request or the stream of the client's messages, and its response
// unless it sends messages itself.
static const char *find_arguments(const struct emitter *emitter, const struct contract_method *method)
{
  struct arena *arena = emitter->arena;
  const char *request =
      arena_printf(arena, "(const %s *)(const void *)request", c_name_struct(arena, method->input->full_name));
  const char *response = arena_printf(arena, "(%s *)(void *)response", c_name_struct(arena, method->output->full_name));
  if (method->client_streams && method->server_streams)
    return "call_stream(call)";
  if (method->client_streams)
    return arena_printf(arena, "call_stream(call), %s", response);
  if (method->server_streams)
    return arena_printf(arena, "%s, call_stream(call)", request);
  return arena_printf(arena, "%s, %s", request, response);
}

static void emit_thunk(const struct emitter *emitter, const char *own, const struct contract_method *method)
{
  struct arena *arena = emitter->arena;
  const char *member = c_name_member(arena, method->name);
  strbuf_printf(emitter->out,
                "static enum status invoke_%s_%s(const void *handlers, struct call *call,\n"
                "    const ProtobufCMessage *request, ProtobufCMessage *response)\n"
                "{\n"
                "%s%s"
                "  const struct %s_handlers *table = handlers;\n"
                "  return table->%s(call, %s);\n"
                "}\n",
                own, member, method->client_streams ? "  (void)request;\n" : "",
                method->server_streams ? "  (void)response;\n" : "", own, member, find_arguments(emitter, method));
}

static void emit_permission(const struct emitter *emitter, const struct policy *policy)
{
  struct strbuf *out = emitter->out;
  if (policy->permission == NULL)
    return;
  strbuf_printf(out, ",\n       .permission = \"%s\"", policy->permission);
  if (policy->every_user)
    strbuf_add_string(out, ", .every_user = true");
  if (policy->owner == POLICY_OWNER_NONE)
    return;
  strbuf_printf(out, ", .permission_any = \"%s\"", policy->permission_any);
  strbuf_printf(out, ",\n       .owner = %s",
                policy->owner == POLICY_OWNER_STORED ? "POLICY_OWNER_STORED" : "POLICY_OWNER_REQUEST");
  if (policy->owner_depth > 0)
    strbuf_printf(out, ", .owner_path = {%u", policy->owner_path[0]);
  for (size_t i = 1; i < policy->owner_depth; i++)
    strbuf_printf(out, ", %u", policy->owner_path[i]);
  if (policy->owner_depth > 0)
    strbuf_printf(out, "}, .owner_depth = %zu", policy->owner_depth);
  strbuf_printf(out, ",\n       .owner_reason = \"%s\", .owner_message = ", policy->owner_reason);
  emit_literal(out, policy->owner_message);
}

static void emit_method(const struct emitter *emitter, const char *own, const struct contract_method *method)
{
  struct arena *arena = emitter->arena;
  struct strbuf *out = emitter->out;
  const char *member = c_name_member(arena, method->name);
  strbuf_printf(out, "    {.full_name = \"" SLICE_FMT "\", .service = \"%s\",\n", SLICE_ARG(method->full_name),
                method->service);
  strbuf_printf(out, "     .input = &%s__descriptor,\n", c_name_lower(arena, method->input->full_name));
  strbuf_printf(out, "     .output = &%s__descriptor,\n", c_name_lower(arena, method->output->full_name));
  if (method->input->is_checked)
    strbuf_printf(out, "     .input_rules = &%s_rules,\n", c_name_own(arena, method->input->full_name));
  strbuf_printf(out, "     .policy = {.access = %s", access_name(method->policy.access));
  if (method->policy.role_count > 0)
    strbuf_printf(out, ", .roles = %s_%s_roles, .role_count = %zu", own, member, method->policy.role_count);
  if (method->policy.caller_count > 0)
    strbuf_printf(out, ", .callers = %s_%s_callers, .caller_count = %zu", own, member, method->policy.caller_count);
  if (method->policy.max_auth_age_s > 0)
    strbuf_printf(out, ", .max_auth_age_s = %u", method->policy.max_auth_age_s);
  emit_permission(emitter, &method->policy);
  strbuf_printf(out, "},\n     .timeout_ms = %u,\n", method->timeout_ms);
  if (method->cache_ttl_ms > 0)
    strbuf_printf(out, "     .cache_ttl_ms = %u,\n", method->cache_ttl_ms);
  if (method->client_streams)
    strbuf_add_string(out, "     .client_streams = true,\n");
  if (method->server_streams)
    strbuf_add_string(out, "     .server_streams = true,\n");
  if (method->message_timeout_ms > 0)
    strbuf_printf(out, "     .message_timeout_ms = %u,\n", method->message_timeout_ms);
  if (method->hedge_after_ms > 0)
    strbuf_printf(out, "     .hedge_after_ms = %u,\n", method->hedge_after_ms);
  if (method->no_side_effects)
    strbuf_add_string(out, "     .no_side_effects = true,\n");
  if (method->takes_idempotency_key)
    strbuf_add_string(out, "     .takes_idempotency_key = true,\n");
  if (method->secret_reply)
    strbuf_add_string(out, "     .secret_reply = true,\n");
  strbuf_printf(out, "     .handler_offset = offsetof(struct %s_handlers, %s),\n", own, member);
  strbuf_printf(out, "     .invoke = invoke_%s_%s},\n", own, member);
}

// Writes a function that moves messages of a stream with their type.
static void emit_mover(const struct emitter *emitter, const char *name, const struct contract_message *message,
                       bool reads)
{
  const char *type = c_name_struct(emitter->arena, message->full_name);
  if (reads)
    strbuf_printf(emitter->out,
                  "\nbool %s(struct stream *stream, const %s **message)\n"
                  "{\n"
                  "  const ProtobufCMessage *base = NULL;\n"
                  "  bool is_there = stream_read(stream, &base);\n"
                  "  *message = (const %s *)(const void *)base;\n"
                  "  return is_there;\n"
                  "}\n",
                  name, type, type);
  else
    strbuf_printf(emitter->out,
                  "\nbool %s(struct stream *stream, const %s *message)\n"
                  "{\n"
                  "  return stream_write(stream, &message->base);\n"
                  "}\n",
                  name, type);
}

static void emit_stream_client(const struct emitter *emitter, const char *own, const struct contract_method *method,
                               size_t index)
{
  struct arena *arena = emitter->arena;
  const char *name = arena_printf(arena, "%s_%s", own, c_name_member(arena, method->name));
  const char *request = method->client_streams ? ""
                                               : arena_printf(arena, ", const %s *request",
                                                              c_name_struct(arena, method->input->full_name));
  strbuf_printf(emitter->out,
                "\nvoid %s(struct service *service, struct call *call%s, struct stream **stream)\n"
                "{\n"
                "  stream_open(service, call, &%s_methods[%zu], %s, stream);\n"
                "}\n",
                name, request, own, index, method->client_streams ? "NULL" : "&request->base");
  if (method->client_streams) {
    emit_mover(emitter, arena_printf(arena, "%s_read_request", name), method->input, true);
    emit_mover(emitter, arena_printf(arena, "%s_write_request", name), method->input, false);
  }
  if (method->server_streams) {
    emit_mover(emitter, arena_printf(arena, "%s_read_response", name), method->output, true);
    emit_mover(emitter, arena_printf(arena, "%s_write_response", name), method->output, false);
    return;
  }
  const char *output = c_name_struct(arena, method->output->full_name);
  strbuf_printf(emitter->out,
                "\nenum status %s_finish(struct stream *stream, struct arena *arena, %s **response)\n"
                "{\n"
                "  ProtobufCMessage *message = NULL;\n"
                "  enum status status = stream_finish(stream, arena, &message);\n"
                "  *response = (%s *)(void *)message;\n"
                "  return status;\n"
                "}\n",
                name, output, output);
}

static void emit_client(const struct emitter *emitter, const char *own, const struct contract_method *method,
                        size_t index)
{
  struct arena *arena = emitter->arena;
  const char *output = c_name_struct(arena, method->output->full_name);
  strbuf_printf(emitter->out,
                "\nenum status %s_%s(struct service *service, struct call *call, const %s *request,\n"
                "    struct arena *arena, %s **response)\n"
                "{\n"
                "  ProtobufCMessage *message = NULL;\n"
                "  enum status status = call_peer(service, call, &%s_methods[%zu], &request->base, arena, &message);\n"
                "  *response = (%s *)(void *)message;\n"
                "  return status;\n"
                "}\n",
                own, c_name_member(arena, method->name), c_name_struct(arena, method->input->full_name), output, own,
                index, output);
}

static void emit_methods(const struct emitter *emitter, const char *own, const struct contract_service *service)
{
  for (size_t i = 0; i < service->method_count; i++) {
    const struct contract_method *method = &service->methods[i];
    const char *member = c_name_member(emitter->arena, method->name);
    if (method->policy.role_count > 0)
      emit_string_array(emitter->out, arena_printf(emitter->arena, "%s_%s_roles", own, member), method->policy.roles,
                        method->policy.role_count);
    if (method->policy.caller_count > 0)
      emit_string_array(emitter->out, arena_printf(emitter->arena, "%s_%s_callers", own, member),
                        method->policy.callers, method->policy.caller_count);
    emit_thunk(emitter, own, method);
  }
  strbuf_printf(emitter->out, "static const struct rpc_method %s_methods[] = {\n", own);
  for (size_t i = 0; i < service->method_count; i++)
    emit_method(emitter, own, &service->methods[i]);
  strbuf_add_string(emitter->out, "};\n");
}

static void emit_service(const struct emitter *emitter, const struct contract_service *service)
{
  const char *own = c_name_own(emitter->arena, service->full_name);
  strbuf_printf(emitter->out, "\n// %s\n", service->full_name);
  if (service->method_count > 0)
    emit_methods(emitter, own, service);
  strbuf_printf(emitter->out, "const struct rpc_service %s = {.full_name = \"%s\", .service = \"%s\"", own,
                service->full_name, service->service);
  if (service->method_count > 0)
    strbuf_printf(emitter->out, ",\n    .methods = %s_methods, .method_count = %zu", own, service->method_count);
  strbuf_add_string(emitter->out, "};\n");
  for (size_t i = 0; i < service->method_count; i++) {
    const struct contract_method *method = &service->methods[i];
    if (method->client_streams || method->server_streams)
      emit_stream_client(emitter, own, method, i);
    else
      emit_client(emitter, own, method, i);
  }
}

void emit_services(const struct emitter *emitter)
{
  for (size_t i = 0; i < contract_service_count(emitter->contract); i++) {
    const struct contract_service *service = contract_service(emitter->contract, i);
    if (emit_is_here(emitter, service->file))
      emit_service(emitter, service);
  }
}
