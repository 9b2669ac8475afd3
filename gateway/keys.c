#include "gateway/keys.h"

#include "common/base/check.h"
#include "common/base/wire.h"
#include "common/observe/log.h"
#include "gateway/api.h"

// A set with more keys than this is none of ours.
#define MAX_KEYS 32

// Field numbers of proto/auth/v1/auth.proto.
enum { SET_KEYS = 1 };
enum { KEY_KTY = 1, KEY_CRV = 2, KEY_KID = 3, KEY_X = 6, KEY_Y = 7 };

void keys_init(struct keys *keys, struct token_verifier *verifier, const struct backend *backend,
               const struct gateway_metrics *metrics, uint64_t (*now_us)(void))
{
  *keys = (struct keys){.verifier = verifier, .backend = backend, .metrics = metrics, .now_us = now_us};
  list_init(&keys->waiting);
}

void keys_stop(struct keys *keys)
{
  if (keys->fetch != NULL)
    keys->backend->cancel(keys->backend->arg, keys->fetch);
  keys->fetch = NULL;
}

bool keys_known(const struct keys *keys)
{
  return token_verifier_key_count(keys->verifier) > 0;
}

static bool read_key(struct slice bytes, struct token_public_key *key, bool *usable)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  struct slice kty = {0}, crv = {0};
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.type != WIRE_BYTES)
      continue;
    switch (field.number) {
    case KEY_KTY:
      kty = field.bytes;
      break;
    case KEY_CRV:
      crv = field.bytes;
      break;
    case KEY_KID:
      key->kid = field.bytes;
      break;
    case KEY_X:
      key->x = field.bytes;
      break;
    case KEY_Y:
      key->y = field.bytes;
      break;
    default:
      break;
    }
  }
  *usable = slice_equal(kty, SLICE("EC")) && slice_equal(crv, SLICE("P-256"));
  return result == WIRE_END;
}

// auth.v1.JsonWebKeySet; its keys are views into `bytes`.
static enum status read_key_set(struct slice bytes, struct token_public_key *list, size_t *count, struct error *error)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  *count = 0;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    if (field.number != SET_KEYS || field.type != WIRE_BYTES)
      continue;
    if (*count == MAX_KEYS)
      return error_set(error, STATUS_INTERNAL, "the key set has more than %d keys", MAX_KEYS);
    struct token_public_key key = {0};
    bool usable = false;
    if (!read_key(field.bytes, &key, &usable))
      return error_set(error, STATUS_INTERNAL, "a key of the key set cannot be read");
    if (usable)
      list[(*count)++] = key;
  }
  if (result != WIRE_END)
    return error_set(error, STATUS_INTERNAL, "the key set cannot be read");
  if (*count == 0)
    return error_set(error, STATUS_INTERNAL, "the key set has no P-256 key");
  return STATUS_OK;
}

static void wake_all(struct keys *keys)
{
  // A woken request may wait anew: only those that wait now are woken.
  struct list woken;
  list_init(&woken);
  while (!list_empty(&keys->waiting)) {
    struct list *node = keys->waiting.next;
    list_remove(node);
    list_append(&woken, node);
  }
  while (!list_empty(&woken)) {
    struct key_wait *wait = CONTAINER_OF(woken.next, struct key_wait, node);
    list_remove(&wait->node);
    wait->wake(wait->arg);
  }
}

// Tries follow each other quickly while the auth service is away: the log gets the first failure and the end.
static void set_failing(struct keys *keys, bool failing, const struct error *error)
{
  if (keys->failing == failing)
    return;
  keys->failing = failing;
  if (failing)
    log_warn("keys", "the public keys could not be fetched from the auth service, trying on",
             LOG_STRING("reason", error->message), LOG_BOOL("haveKeys", keys_known(keys)));
  else
    log_info("keys", "the public keys are fetched again", LOG_INT("keys", token_verifier_key_count(keys->verifier)));
}

static void on_fetched(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct keys *keys = arg;
  keys->fetch = NULL;
  struct error error = {.status = STATUS_OK};
  if (status->code != STATUS_OK) {
    error_set(&error, status->code, "%s: " SLICE_FMT, status_name(status->code), SLICE_ARG(status->message));
  } else {
    struct token_public_key list[MAX_KEYS];
    size_t count;
    if (read_key_set(payload, list, &count, &error) == STATUS_OK)
      error.status = token_verifier_set_keys(keys->verifier, list, count, &error);
  }
  bool ok = error.status == STATUS_OK;
  metric_add(ok ? keys->metrics->keys_ok : keys->metrics->keys_failed, 1);
  set_failing(keys, !ok, &error);
  uint64_t pause = ok ? KEYS_REFRESH_EVERY_US : keys_known(keys) ? KEYS_RETRY_US : KEYS_FIRST_RETRY_US;
  keys->next_fetch_us = keys->now_us() + pause;
  // Without any key a failure tells the waiting nothing: the next try may come within their wait.
  if (keys_known(keys))
    wake_all(keys);
}

static void start_fetch(struct keys *keys, uint64_t now_us)
{
  struct rpc_call_options options = {
      .service = KEYS_SERVICE,
      .method = SLICE(KEYS_METHOD),
      .deadline_us = now_us + KEYS_FETCH_TIMEOUT_US,
  };
  keys->unknown_from_us = now_us + KEYS_UNKNOWN_EVERY_US;
  keys->next_fetch_us = DEADLINE_NONE;
  keys->fetch = keys->backend->call(keys->backend->arg, &options, on_fetched, keys);
}

bool keys_wait(struct keys *keys, struct key_wait *wait)
{
  uint64_t now_us = keys->now_us();
  if (keys->fetch == NULL && keys_known(keys)) {
    if (now_us < keys->unknown_from_us)
      return false;
    start_fetch(keys, now_us);
  }
  wait->deadline_us = now_us + KEYS_MAX_WAIT_US;
  list_append(&keys->waiting, &wait->node);
  return true;
}

void keys_stop_waiting(struct key_wait *wait)
{
  list_remove(&wait->node);
}

void keys_process(struct keys *keys, uint64_t now_us)
{
  if (keys->fetch == NULL && now_us >= keys->next_fetch_us)
    start_fetch(keys, now_us);
  while (!list_empty(&keys->waiting)) {
    struct key_wait *wait = CONTAINER_OF(keys->waiting.next, struct key_wait, node);
    if (wait->deadline_us > now_us)
      break;
    list_remove(&wait->node);
    wait->wake(wait->arg);
  }
}

uint64_t keys_next_timeout_us(const struct keys *keys)
{
  uint64_t next = keys->fetch == NULL ? keys->next_fetch_us : DEADLINE_NONE;
  if (list_empty(&keys->waiting))
    return next;
  return deadline_min(next, CONTAINER_OF(keys->waiting.next, struct key_wait, node)->deadline_us);
}
