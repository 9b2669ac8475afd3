#include "common/service/resource.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/etag.h"
#include "common/runtime/task.h"
#include "common/service/idempotency_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/resource_mask_internal.h"
#include "common/service/resource_patch_internal.h"
#include "common/service/resource_shape_internal.h"
#include "common/service/service.h"

struct query_db resource_db(struct call *call)
{
  return idempotency_db(call);
}

const char *resource_caller(struct call *call)
{
  return arena_string(call_arena(call), call_caller_id(call));
}

// ---- fields by name ----

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessage *message, const char *name)
{
  return protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
}

static const void *place_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
  return (const char *)message + field->offset;
}

static const char *get_text(const ProtobufCMessage *message, const char *name)
{
  const ProtobufCFieldDescriptor *field = find_field(message, name);
  CHECK(field != NULL && field->type == PROTOBUF_C_TYPE_STRING);
  return *(const char *const *)place_of(message, field);
}

// Returns "" for a field that the message does not have.
static const char *get_optional_text(const ProtobufCMessage *message, const char *name)
{
  return find_field(message, name) == NULL ? "" : get_text(message, name);
}

static const ProtobufCMessage *get_message(const ProtobufCMessage *message, const char *name)
{
  const ProtobufCFieldDescriptor *field = find_field(message, name);
  CHECK(field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE);
  return *(const ProtobufCMessage *const *)place_of(message, field);
}

// ---- what callers are told ----

enum status resource_fail_not_found(struct call *call, const struct resource *resource, const char *id)
{
  // The name is a field's, with '_' between its words; the article is followed by the same in English.
  const char *noun = strchr(resource->article, ' ');
  CHECK(noun != NULL);
  return call_fail(call, STATUS_NOT_FOUND, resource->not_found, "there is no %s %s", noun + 1, id);
}

static enum status fail_stale(struct call *call, const struct resource *resource)
{
  return call_fail(call, STATUS_ABORTED, "ETAG_MISMATCH",
                   "the %s has changed since you read it; read it again and repeat the change", resource->title);
}

static enum status fail_excluded(struct call *call, const struct resource *resource)
{
  return call_fail(call, STATUS_ABORTED, "ETAG_EXCLUDED", "the %s is in a state that If-None-Match excludes",
                   resource->title);
}

// True where the caller may know that the resource exists.
static bool may_see(struct call *call, const struct resource *resource, const ProtobufCMessage *message)
{
  return !resource->is_private || call_owns(call, get_text(message, "owner_id"));
}

static enum status check_access(struct call *call, const struct resource *resource, const ProtobufCMessage *message)
{
  if (!may_see(call, resource, message))
    return STATUS_NOT_FOUND;
  return resource->owned ? call_may(call, get_text(message, "owner_id")) : STATUS_OK;
}

// ---- declared resources ----

static bool is_declared(struct call *call, const struct resource *resource)
{
  const struct resource *const *declared = service_resources(call_service(call));
  while (declared != NULL && *declared != NULL && *declared != resource)
    declared++;
  return declared != NULL && *declared != NULL;
}

// Fails for a resource or request that was not checked when the service started, because the code below finds fields by
// name and parameters by offset.
static enum status check_declared(struct call *call, const struct resource *resource,
                                  const ProtobufCMessageDescriptor *declared, const ProtobufCMessage *request)
{
  if (declared == request->descriptor && is_declared(call, resource))
    return STATUS_OK;
  return call_fail(call, STATUS_INTERNAL, "INTERNAL",
                   "the service does not declare that it answers %s for \"%s\"; name the request in its struct "
                   "resource, and the resource in service_definition.resources",
                   request->descriptor->name, resource->name);
}

// ---- preconditions ----

// An If-Match with quotes is a list, or holds a weak tag, which is like no other. Our etags have none.
static bool is_matched(const char *etag, const char *if_match)
{
  if (strchr(if_match, '"') == NULL)
    return strcmp(if_match, etag) == 0;
  return etag_list_has(slice_from_string(if_match), slice_from_string(etag), ETAG_STRONG);
}

bool resource_etag_fits(const char *etag, const char *if_match, const char *body_etag)
{
  bool header = if_match[0] == '\0' || strcmp(if_match, "*") == 0 || is_matched(etag, if_match);
  bool body = body_etag[0] == '\0' || strcmp(body_etag, etag) == 0;
  return header && body;
}

bool resource_etag_allowed(const char *etag, const char *if_none_match)
{
  return strcmp(if_none_match, "*") != 0 &&
         !etag_list_has(slice_from_string(if_none_match), slice_from_string(etag), ETAG_WEAK);
}

enum status resource_check_state(struct call *call, const struct resource *resource, const char *etag,
                                 const char *if_match, const char *if_none_match)
{
  if (!resource_etag_fits(etag, if_match, ""))
    return fail_stale(call, resource);
  return resource_etag_allowed(etag, if_none_match) ? STATUS_OK : fail_excluded(call, resource);
}

bool resource_is_conditional(const char *if_match, const char *body_etag)
{
  return (if_match[0] != '\0' && strcmp(if_match, "*") != 0) || body_etag[0] != '\0';
}

// ---- reading ----

// Finds the cache of the rows, and the key of one; NULL where they are not cached.
static struct cache *find_cache(struct call *call, const struct resource *resource, const char *id, struct slice *key)
{
  return resource->cache == NULL ? NULL : resource->cache(call, id, key);
}

// A row to be loaded into the cache.
struct row_source {
  const struct resource *resource;
  struct query_db db;
};

static enum status load_row(void *arg, struct slice key, struct arena *arena, struct slice *wire)
{
  const struct row_source *source = arg;
  return query_gathered_packed(source->db, source->resource->get, arena_string(arena, key), arena, wire);
}

// Returns what changes run on: always the database itself, also in a call with an Idempotency-Key, because the cache is
// told when a change begins and ends.
static struct query_db own_db(struct call *call)
{
  return query_on(service_pg(call_service(call)));
}

// Reads a row as its packed message: from the cache where there is one, else from `db`.
static enum status read_row(struct call *call, const struct resource *resource, struct query_db db, const char *id,
                            struct slice *wire)
{
  struct slice key;
  struct cache *cache = find_cache(call, resource, id, &key);
  if (cache == NULL)
    return query_gathered_packed(db, resource->get, id, call_arena(call), wire);
  struct row_source source = {.resource = resource, .db = own_db(call)};
  return cache_get(cache, key, load_row, &source, call_arena(call), wire);
}

static enum status unpack_row(struct call *call, const struct resource *resource, struct slice wire,
                              ProtobufCMessage **message)
{
  *message = proto_unpack(resource->get->message, wire, call_arena(call));
  if (*message != NULL)
    return STATUS_OK;
  return call_fail(call, STATUS_INTERNAL, "INTERNAL", "a stored %s is not readable", resource->name);
}

// Reads the row that a change begins with: from memory, or else from the database, because what is about to change need
// not enter the cache.
static enum status read_before_change(struct call *call, const struct resource *resource, const char *id,
                                      ProtobufCMessage **message)
{
  struct slice key;
  struct slice wire;
  struct cache *cache = find_cache(call, resource, id, &key);
  if (cache != NULL && cache_peek(cache, key, call_arena(call), &wire))
    return unpack_row(call, resource, wire, message);
  *message = proto_new(resource->get->message, call_arena(call));
  return query_gathered(own_db(call), resource->get, id, call_arena(call), *message);
}

// Hides a row from callers who may not see it.
static enum status check_visible(struct call *call, const struct resource *resource, struct slice wire)
{
  ProtobufCMessage *message = NULL;
  if (!resource->is_private)
    return STATUS_OK;
  enum status status = unpack_row(call, resource, wire, &message);
  return status != STATUS_OK || may_see(call, resource, message) ? status : STATUS_NOT_FOUND;
}

enum status resource_get(struct call *call, const struct resource *resource, const ProtobufCMessage *request)
{
  enum status status = check_declared(call, resource, resource->get_request, request);
  if (status != STATUS_OK)
    return status;
  const char *id = get_text(request, "id");
  struct slice wire = {0};
  status = read_row(call, resource, resource_db(call), id, &wire);
  if (status == STATUS_OK)
    status = check_visible(call, resource, wire);
  if (status == STATUS_OK)
    call_reply_bytes(call, wire);
  return status == STATUS_NOT_FOUND ? resource_fail_not_found(call, resource, id) : status;
}

static enum status read_page(struct call *call, const struct query_list *list, const void *params,
                             const ProtobufCMessage *request, struct strbuf **wire)
{
  struct query_page page;
  if (request->descriptor != list->request)
    return call_fail(call, STATUS_INTERNAL, "INTERNAL", "the list answers %s, and the handler passes %s",
                     list->request->name, request->descriptor->name);
  if (!query_list_read(list, request, call_arena(call), &page)) {
    call_violation(call, page.refusal.field, page.refusal.rule);
    return call_fail(call, STATUS_INVALID_ARGUMENT, page.refusal.reason, "%s", page.refusal.message);
  }
  const struct query_list_call page_call = {.params = params, .request = request, .arena = call_arena(call)};
  return query_list_run(resource_db(call), list, &page, &page_call, wire);
}

enum status resource_list(struct call *call, const struct query_list *list, const void *params,
                          const ProtobufCMessage *request)
{
  struct strbuf *wire = NULL;
  enum status status = read_page(call, list, params, request, &wire);
  if (status == STATUS_OK)
    call_reply_buffer(call, wire);
  return status;
}

enum status resource_list_into(struct call *call, const struct query_list *list, const void *params,
                               const ProtobufCMessage *request, ProtobufCMessage *response)
{
  struct strbuf *wire = NULL;
  enum status status = read_page(call, list, params, request, &wire);
  if (status != STATUS_OK || wire == NULL)
    return status;
  const ProtobufCMessage *page = proto_unpack(response->descriptor, strbuf_slice(wire), call_arena(call));
  if (page == NULL)
    return call_fail(call, STATUS_INTERNAL, "INTERNAL", "the list gives no %s", response->descriptor->name);
  memcpy(response, page, response->descriptor->sizeof_message);
  return STATUS_OK;
}

// ---- changing ----

// The part of a change that concerns the cache.
struct cached_change {
  struct slice key;
  struct cache_change *change;
};

static void begin_cached(struct call *call, const struct resource *resource, const char *id,
                         struct cached_change *cached)
{
  struct cache *cache = find_cache(call, resource, id, &cached->key);
  cached->change = cache_change_begin(cache, &cached->key, 1);
}

// Ends the change. Its outcome is known, unless storage has noted an unknown effect of the task.
static void end_cached(struct cached_change *cached)
{
  cache_change_end(&cached->change, task_effect() != TASK_EFFECT_UNKNOWN);
}

// The pause before a locked update is tried again.
enum { LOCKED_PAUSE_MS = 20 };

// An update in progress.
struct change {
  struct call *call;
  const struct resource *resource;
  const ProtobufCMessage *body;
  struct resource_patch patch;  // has the mask
  const char *id;
  const char *if_match;
  const char *if_none_match;
  bool differs;  // the change makes the row another one
  const struct query *update;
  bool refused;         // refused here, with a reason for the caller, and not by PostgreSQL
  struct slice stored;  // the row as it was written
  struct cached_change cached;
};

// Makes the row to store from `message`, the row as it is. Fails where the caller may not change it, or not this state.
static enum status merge_change(struct change *change, ProtobufCMessage *message)
{
  struct call *call = change->call;
  const struct resource *resource = change->resource;
  enum status status = check_access(call, resource, message);
  if (status != STATUS_OK)
    return status;
  if (!resource_etag_fits(get_text(message, "etag"), change->if_match, get_text(change->body, "etag")))
    return fail_stale(call, resource);
  if (!resource_etag_allowed(get_text(message, "etag"), change->if_none_match))
    return fail_excluded(call, resource);
  const ProtobufCMessage *body = change->body;
  status = resource_patch_apply(call, resource, &change->patch, message, &body);
  if (status != STATUS_OK)
    return status;
  const struct resource_merging merge = {.update = resource->update, .arena = call_arena(call)};
  const char *wrong = resource_merge(message, body, change->patch.mask, &merge, &change->differs);
  if (wrong != NULL) {
    call_violation(call, "updateMask", arena_printf(merge.arena, "names no field of %s: %s", resource->article, wrong));
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_UPDATE_MASK", "the update mask is not valid");
  }
  return resource->check == NULL || !change->differs ? STATUS_OK : resource->check(call, message);
}

// Answers with the row as it is.
static enum status answer_unchanged(struct call *call, const ProtobufCMessage *message)
{
  call_reply_bytes(call, proto_pack_arena(message, call_arena(call)));
  return STATUS_OK;
}

// Merges the change and stores the row, unless it is the same as before. ABORTED when the row has another etag by now,
// or is gone.
static enum status store_change(struct change *change, struct query_db db, ProtobufCMessage *message)
{
  enum status status = merge_change(change, message);
  change->refused = status != STATUS_OK;
  if (status != STATUS_OK)
    return status;
  if (!change->differs)
    return answer_unchanged(change->call, message);
  // Announced only now, so that a caller who may not change the row cannot keep it out of the caches.
  if (change->cached.change == NULL)
    begin_cached(change->call, change->resource, change->id, &change->cached);
  do {
    status = cache_change_confirm(change->cached.change);
    if (status == STATUS_OK)
      status = query_change_packed(db, change->update, message, call_arena(change->call), &change->stored);
  } while (cache_change_is_late(change->cached.change, status));
  if (status == STATUS_OK)
    call_reply_bytes(change->call, change->stored);
  return status == STATUS_NOT_FOUND ? STATUS_ABORTED : status;
}

// Tells whether the update has met another change, or has missed a lock. An ABORTED of merge_change is no such loss: it
// has given the caller a reason.
static bool has_lost(const struct change *change, enum status status)
{
  return status == STATUS_ABORTED && !change->refused;
}

static enum status update_optimistically(struct change *change)
{
  ProtobufCMessage *message = NULL;
  enum status status = read_before_change(change->call, change->resource, change->id, &message);
  return status == STATUS_OK ? store_change(change, own_db(change->call), message) : status;
}

// Updates with the row locked, so that no other change comes between. This takes four round trips and holds a
// connection, so it runs only after the optimistic update has met another change.
static enum status update_locked(struct change *change)
{
  struct arena *arena = call_arena(change->call);
  ProtobufCMessage *message = proto_new(change->resource->lock->message, arena);
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(service_pg(call_service(change->call)), &tx);
  if (status == STATUS_OK)
    status = query_one(query_in(tx), change->resource->lock, &(struct resource_id_params){change->id}, arena, message);
  if (status == STATUS_OK)
    status = store_change(change, query_in(tx), message);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

// Repeats the locked update until it has all its locks, because the caller has named no state that could be missed: a
// transaction that misses a lock behind its first statement (a unique value that another one is about to take) is lost.
static enum status update_patiently(struct change *change)
{
  for (;;) {
    enum status status = update_locked(change);
    if (!has_lost(change, status))
      return status;
    status = task_sleep_ms(LOCKED_PAUSE_MS);
    if (status != STATUS_OK)
      return status;
  }
}

static enum status fail_without_id(struct call *call, const struct resource *resource)
{
  call_violation(call, arena_printf(call_arena(call), "%s.id", resource->name), "is required");
  return call_fail(call, STATUS_INVALID_ARGUMENT, resource->invalid, "which %s to change is not said", resource->title);
}

enum status resource_update(struct call *call, const struct resource *resource, const ProtobufCMessage *request)
{
  enum status status = check_declared(call, resource, resource->update_request, request);
  if (status != STATUS_OK)
    return status;
  struct change change = {.call = call,
                          .resource = resource,
                          .body = get_message(request, resource->name),
                          .if_match = get_text(request, "if_match"),
                          .if_none_match = get_optional_text(request, "if_none_match")};
  if (change.body == NULL)
    return fail_without_id(call, resource);
  change.id = get_text(change.body, "id");
  resource_patch_read(get_message(request, "update_mask"), change.body, call_arena(call), &change.patch);
  change.update = resource_pick_update(resource, change.patch.mask, change.body);
  if (change.id[0] == '\0')
    return fail_without_id(call, resource);
  status = update_optimistically(&change);
  if (has_lost(&change, status) && !resource_is_conditional(change.if_match, get_text(change.body, "etag")))
    status = update_patiently(&change);
  if (status == STATUS_OK && change.differs)
    cache_change_keep(change.cached.change, change.stored);
  end_cached(&change.cached);
  if (has_lost(&change, status))
    return fail_stale(call, resource);
  if (status == STATUS_NOT_FOUND)
    return resource_fail_not_found(call, resource, change.id);
  return status == STATUS_OK || change.refused || resource->refuse == NULL ? status : resource->refuse(call, status);
}

// Deletes the row. ABORTED when there is no such row with this etag; an etag of NULL fits any.
static enum status remove_row(struct call *call, const struct resource *resource, const char *id, const char *etag)
{
  struct slice remover = resource->describe_remover == NULL ? (struct slice){0} : resource->describe_remover(call);
  const struct resource_remove_params params = {.id = id, .etag = etag, .remover = remover};
  int64_t affected;
  struct cached_change cached;
  begin_cached(call, resource, id, &cached);
  enum status status;
  do {
    status = cache_change_confirm(cached.change);
    if (status == STATUS_OK)
      status = query_exec(own_db(call), resource->remove, &params, call_arena(call), &affected);
  } while (cache_change_is_late(cached.change, status));
  if (status == STATUS_OK && affected == 0)
    status = STATUS_ABORTED;
  end_cached(&cached);
  return status;
}

enum status resource_delete(struct call *call, const struct resource *resource, const ProtobufCMessage *request)
{
  enum status status = check_declared(call, resource, resource->delete_request, request);
  if (status != STATUS_OK)
    return status;
  const char *id = get_text(request, "id");
  const char *if_match = get_text(request, "if_match");
  const char *if_none_match = get_optional_text(request, "if_none_match");
  // What is removed is the state that was judged.
  bool conditional = resource_is_conditional(if_match, "") || if_none_match[0] != '\0';
  ProtobufCMessage *message = NULL;
  status = read_before_change(call, resource, id, &message);
  if (status == STATUS_OK)
    status = check_access(call, resource, message);
  if (status == STATUS_NOT_FOUND)
    return resource_fail_not_found(call, resource, id);
  if (status != STATUS_OK)
    return status;
  const char *etag = get_text(message, "etag");
  status = resource_check_state(call, resource, etag, if_match, if_none_match);
  if (status != STATUS_OK)
    return status;
  status = remove_row(call, resource, id, conditional ? etag : NULL);
  if (status == STATUS_ABORTED)
    return conditional ? fail_stale(call, resource) : resource_fail_not_found(call, resource, id);
  return status;
}
