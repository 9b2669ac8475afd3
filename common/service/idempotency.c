#include "common/service/idempotency_internal.h"

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/security/key.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/service_internal.h"

#define HASH_SIZE 32
// How long is waited before a handler that could not have a lock runs again.
#define LOCK_PAUSE_MS 5
#define LOCK_MAX_PAUSE_MS 100

enum key_state {
  KEY_NEW,      // nothing has been written for the call
  KEY_CLAIMED,  // the key's row is written in `tx`, which the effect belongs to
  KEY_TAKEN,    // another call has written the row, and that answers this one, too
  KEY_REFUSED,  // the claim has failed
  KEY_ENDED,    // the transaction has ended: it was committed, or a statement of it has failed
};

// The key of a call. It lies in the call's arena.
struct idempotency {
  enum key_state state;
  struct pg_tx *tx;           // not NULL in KEY_CLAIMED
  enum status failure;        // why there is no transaction, in KEY_TAKEN and KEY_REFUSED
  struct slice id;            // the hash of caller, method and key
  struct slice request_hash;  // the hash of caller, method, key and request
};

static void set_state(struct idempotency *key, enum key_state state, enum status failure)
{
  if (state != KEY_CLAIMED)
    pg_rollback(&key->tx);
  key->state = state;
  key->failure = failure;
}

// ---- hashes ----

static struct slice hash_text(const struct strbuf *text, struct arena *arena)
{
  unsigned char *hash = arena_alloc(arena, HASH_SIZE);
  key_sha256(strbuf_slice(text), hash);
  return slice_make(hash, HASH_SIZE);
}

// Hashes the key and the request. The request is packed from what was read, because clients may write the same message
// in different bytes.
static void hash_call(const struct call *call, struct idempotency *key)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, SLICE_FMT "\n%s\n" SLICE_FMT "\n", SLICE_ARG(call->context->caller_id), call->method->full_name,
                SLICE_ARG(call->context->idempotency_key));
  key->id = hash_text(&text, call->arena);
  proto_pack(call->input, &text);
  key->request_hash = hash_text(&text, call->arena);
  strbuf_free(&text);
}

// ---- statements ----

#define EXPIRED "create_time <= now() - interval '24 hours'"

struct key_params {
  struct slice id;
  struct slice bytes;  // the request's hash, or the reply
};

static const struct query_param key_params[] = {
    {.kind = QUERY_BYTES, .offset = offsetof(struct key_params, id)},
    {.kind = QUERY_BYTES, .offset = offsetof(struct key_params, bytes)},
};

// The row of a call that had its effect.
struct kept_row {
  struct slice request_hash;
  struct slice reply;
  bool has_reply;
};

static const struct query_column kept_columns[] = {
    {.kind = QUERY_BYTES, .offset = offsetof(struct kept_row, request_hash)},
    {.kind = QUERY_BYTES,
     .nullable = true,
     .offset = offsetof(struct kept_row, reply),
     .extra = offsetof(struct kept_row, has_reply)},
};

static const struct query find_query = {
    .statement = {.name = "idempotency_find",
                  .sql = "SELECT request_hash, reply FROM idempotency_keys WHERE id = $1 AND NOT " EXPIRED,
                  .lane = PG_LANE_POINT},
    .params = key_params,
    .param_count = 1,
    .columns = kept_columns,
    .column_count = ARRAY_LEN(kept_columns),
    .row_size = sizeof(struct kept_row),
};

// Affects no row where another call has the key. An expired row counts as none.
static const struct query claim_query = {
    .statement = {.name = "idempotency_claim",
                  .sql = "INSERT INTO idempotency_keys AS k (id, request_hash) VALUES ($1, $2) ON CONFLICT (id) "
                         "DO UPDATE SET request_hash = excluded.request_hash, reply = NULL, create_time = now() "
                         "WHERE k." EXPIRED},
    .params = key_params,
    .param_count = ARRAY_LEN(key_params),
};

static const struct query keep_query = {
    .statement = {.name = "idempotency_keep", .sql = "UPDATE idempotency_keys SET reply = $2 WHERE id = $1"},
    .params = key_params,
    .param_count = ARRAY_LEN(key_params),
};

// ---- the transaction ----

// Begins the transaction and writes the key's row. Waits while a call with the same key is at work: as the first
// statement of its transaction it is repeated as long as it cannot have the lock.
static void claim(struct call *call)
{
  struct idempotency *key = call->idempotency;
  const struct key_params params = {key->id, key->request_hash};
  int64_t written = 0;
  enum status status = pg_begin(service_pg(call->service), &key->tx);
  if (status == STATUS_OK)
    status = query_exec(query_in(key->tx), &claim_query, &params, call->arena, &written);
  if (status != STATUS_OK)
    set_state(key, KEY_REFUSED, status);
  else if (written == 0)
    set_state(key, KEY_TAKEN, STATUS_ABORTED);
  else
    set_state(key, KEY_CLAIMED, STATUS_OK);
}

struct query_db idempotency_db(struct call *call)
{
  struct idempotency *key = call->idempotency;
  struct query_db pool = query_on(service_pg(call->service));
  if (key == NULL)
    return pool;
  if (key->state == KEY_NEW)
    claim(call);
  if (key->state == KEY_CLAIMED && pg_tx_failed(key->tx))
    set_state(key, KEY_ENDED, STATUS_OK);
  if (key->state == KEY_CLAIMED)
    return query_in(key->tx);
  return key->state == KEY_ENDED ? pool : query_failing(key->failure);
}

// ---- the answer ----

static enum status find_row(struct call *call, struct kept_row *row)
{
  const struct key_params params = {.id = call->idempotency->id};
  return query_one(query_on(service_pg(call->service)), &find_query, &params, call->arena, row);
}

// Forgets how the handler has ended the call.
static void forget_outcome(struct call *call)
{
  call->has_reply_bytes = false;
  call->message = (struct slice){0};
  call->reason = (struct slice){0};
  call->retry_after_ms = 0;
  violations_init(&call->violations, call->arena);
}

// Answers the call as the one that had its effect.
static enum status answer_by_row(struct call *call, const struct kept_row *row)
{
  forget_outcome(call);
  if (!slice_equal(row->request_hash, call->idempotency->request_hash))
    return call_fail(call, STATUS_FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED",
                     "this Idempotency-Key was used with another request; use a new key for a new request");
  if (!row->has_reply)
    return call_fail(call, STATUS_ALREADY_EXISTS, "IDEMPOTENCY_REPLY_NOT_KEPT",
                     "the request with this Idempotency-Key has succeeded, and its reply is not kept because it held "
                     "secrets; repeat the request with a new key");
  call_reply_bytes(call, row->reply);
  return STATUS_OK;
}

// Packs the reply, once for the client and for the row.
static struct slice pack_reply(struct call *call)
{
  if (!call->has_reply_bytes)
    call_reply_bytes(call, proto_pack_arena(call->output, call->arena));
  return call->reply_bytes.size == 0 ? SLICE("") : call->reply_bytes;
}

// Writes the reply beside the effect and commits both.
static enum status commit_reply(struct call *call)
{
  struct idempotency *key = call->idempotency;
  // An effect that is not in this service's database leaves the claim to this place.
  if (idempotency_db(call).tx == NULL) {
    if (key->state != KEY_ENDED)
      return key->failure;
    log_error("idempotency",
              "a handler succeeded although a statement of its transaction had failed; nothing was "
              "stored, the call fails, and the handler must return that failure",
              LOG_STRING("method", call->method->full_name));
    return STATUS_INTERNAL;
  }
  const struct key_params params = {key->id, pack_reply(call)};
  enum status status = STATUS_OK;
  if (!call->method->secret_reply)
    status = query_exec(query_in(key->tx), &keep_query, &params, call->arena, NULL);
  return status == STATUS_OK ? pg_commit(&key->tx) : status;
}

// Tells whether a failure may come from a call with the same key that was faster, or may have been a success whose
// commit was not confirmed. A failure that says nothing about rows may not.
static bool may_be_answered(const struct idempotency *key, enum status status, bool handler_succeeded)
{
  switch (status) {
  case STATUS_CANCELLED:
  case STATUS_DEADLINE_EXCEEDED:
  case STATUS_RESOURCE_EXHAUSTED:
  case STATUS_INTERNAL:
    return key->state == KEY_TAKEN;
  case STATUS_UNAVAILABLE:
    return handler_succeeded || key->state == KEY_TAKEN;
  default:
    return true;
  }
}

// Runs the handler once and ends the transaction. *lost_lock tells whether the call failed because a lock was not
// granted in time, and nothing has happened anywhere.
static enum status run_once(struct call *call, enum status (*handler)(struct call *call), bool *lost_lock)
{
  struct idempotency *key = call->idempotency;
  enum status status = handler(call);
  bool succeeded = status == STATUS_OK;
  if (succeeded)
    status = commit_reply(call);
  bool failed_inside = key->state == KEY_ENDED || (key->tx != NULL && pg_tx_failed(key->tx));
  *lost_lock = status == STATUS_ABORTED && failed_inside && task_effect() == TASK_NO_EFFECT;
  if (key->state == KEY_CLAIMED)
    set_state(key, KEY_ENDED, STATUS_OK);
  struct kept_row row;
  if (status != STATUS_OK && may_be_answered(key, status, succeeded) && find_row(call, &row) == STATUS_OK) {
    *lost_lock = false;
    return answer_by_row(call, &row);
  }
  return status;
}

// Makes the call as it was before its handler ran.
static void start_again(struct call *call)
{
  forget_outcome(call);
  call->output = proto_new(call->method->output, call->arena);
  set_state(call->idempotency, KEY_NEW, STATUS_OK);
}

// Repeats a handler that could not have a lock, because PostgreSQL repeats only what comes first in a transaction.
static enum status run_handler(struct call *call, enum status (*handler)(struct call *call))
{
  uint32_t limit_ms = 0;
  bool lost_lock = false;
  enum status status = run_once(call, handler, &lost_lock);
  while (lost_lock) {
    start_again(call);
    status = task_sleep_ms(backoff_next_ms(&limit_ms, LOCK_PAUSE_MS, LOCK_MAX_PAUSE_MS));
    if (status != STATUS_OK)
      return status;
    status = run_once(call, handler, &lost_lock);
  }
  return status;
}

bool idempotency_applies(const struct call *call)
{
  return call->method->takes_idempotency_key && call->context->idempotency_key.size > 0;
}

enum status idempotency_run(struct call *call, enum status (*handler)(struct call *call))
{
  CHECK(call->idempotency == NULL);
  call->idempotency = arena_zalloc(call->arena, sizeof(*call->idempotency));
  hash_call(call, call->idempotency);
  struct kept_row row;
  enum status status = find_row(call, &row);
  if (status == STATUS_OK)
    return answer_by_row(call, &row);
  return status == STATUS_NOT_FOUND ? run_handler(call, handler) : status;
}

// ---- the sweep ----

#define SWEEP_ROWS 500
#define SWEEP_LIMIT_MS 10000

// Rows that another instance removes at the same time are passed over.
static const struct query sweep_query = {
    .statement = {.name = "idempotency_sweep",
                  .sql = "DELETE FROM idempotency_keys WHERE id = ANY (ARRAY(SELECT id FROM idempotency_keys "
                         "WHERE " EXPIRED " ORDER BY create_time LIMIT $1::bigint FOR UPDATE SKIP LOCKED))"},
    .params = (const struct query_param[]){{.kind = QUERY_INT64}},
    .param_count = 1,
};

// Removes a few expired rows. *more tells whether there may be others.
static enum status sweep_some(struct service *service, bool *more)
{
  const int64_t limit = SWEEP_ROWS;
  int64_t removed = 0;
  struct arena arena;
  arena_init(&arena);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), SWEEP_LIMIT_MS));
  enum status status = query_exec(query_on(service_pg(service)), &sweep_query, &limit, &arena, &removed);
  task_restore_deadline(before);
  arena_free(&arena);
  *more = status == STATUS_OK && removed == limit;
  return status;
}

static void run_sweeps(void *arg)
{
  struct service *service = arg;
  uint64_t pause_ms = (uint64_t)service->common.idempotency_sweep_interval_ms;
  while (task_sleep_ms(pause_ms) == STATUS_OK) {
    bool more = true;
    enum status status = STATUS_OK;
    while (more && status == STATUS_OK)
      status = sweep_some(service, &more);
    if (status != STATUS_OK && task_check() == STATUS_OK)
      log_warn("idempotency", "could not remove expired Idempotency-Keys; the next sweep tries again",
               LOG_STATUS(status));
  }
}

void idempotency_start_sweep(struct service *service)
{
  if (idempotency_is_used(service->definition))
    service_background(service, run_sweeps, service);
}

bool idempotency_is_used(const struct service_definition *definition)
{
  for (size_t i = 0; i < definition->binding_count; i++)
    for (size_t m = 0; m < definition->bindings[i].service->method_count; m++)
      if (definition->bindings[i].service->methods[m].takes_idempotency_key)
        return true;
  return false;
}
