#include "common/identity/keys.h"

#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define MAX_KEY_SET_BYTES (64u * 1024)

void keys_init(struct keys *keys, const struct keys_options *options)
{
  *keys = (struct keys){.options = *options,
                        .outage = {.subject = "keys",
                                   .failure = "could not fetch the public keys of access tokens; retrying; without "
                                              "keys, requests with a token get 503",
                                   .recovery = "the public keys of access tokens came again; tokens are verified with "
                                               "them"}};
  strbuf_init(&keys->known, 0);
  list_init(&keys->waiting);
}

void keys_stop(struct keys *keys)
{
  if (keys->fetch != NULL)
    keys->options.backend->cancel(keys->options.backend->arg, keys->fetch);
  keys->fetch = NULL;
  strbuf_free(&keys->known);
}

bool keys_known(const struct keys *keys)
{
  return token_verifier_key_count(keys->options.verifier) > 0;
}

bool keys_fetched_since(const struct keys *keys, const struct key_wait *wait)
{
  return keys_known(keys) && keys->known_since_us >= wait->since_us;
}

// Returns a text of a message by the name of its field; "" where there is none.
static const char *get_text(const ProtobufCMessage *message, const char *name)
{
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
  if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING || field->label == PROTOBUF_C_LABEL_REPEATED)
    return "";
  const char *text;
  memcpy(&text, (const char *)message + field->offset, sizeof(text));
  return text == NULL ? "" : text;
}

// Returns the messages of the field `keys`; none where there is no such field.
static ProtobufCMessage **get_keys(const ProtobufCMessage *set, size_t *count)
{
  ProtobufCMessage **list = NULL;
  *count = 0;
  const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(set->descriptor, "keys");
  if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
    return NULL;
  memcpy(count, (const char *)set + field->quantifier_offset, sizeof(*count));
  memcpy(&list, (const char *)set + field->offset, sizeof(list));
  return list;
}

// Gives the verifier the P-256 keys of the set; keys of other kinds are passed over.
static enum status use_keys(struct keys *keys, const ProtobufCMessage *set, struct error *error)
{
  struct token_public_key list[TOKEN_MAX_KEYS];
  size_t used = 0;
  size_t count;
  ProtobufCMessage **messages = get_keys(set, &count);
  if (count > TOKEN_MAX_KEYS)
    return error_set(error, STATUS_INTERNAL, "the key set has %zu keys, more than %d", count, TOKEN_MAX_KEYS);
  for (size_t i = 0; i < count; i++) {
    const ProtobufCMessage *key = messages[i];
    if (strcmp(get_text(key, "kty"), "EC") == 0 && strcmp(get_text(key, "crv"), "P-256") == 0)
      list[used++] = (struct token_public_key){.kid = slice_from_string(get_text(key, "kid")),
                                               .x = slice_from_string(get_text(key, "x")),
                                               .y = slice_from_string(get_text(key, "y"))};
  }
  if (used == 0)
    return error_set(error, STATUS_INTERNAL, "the key set has no P-256 key");
  return token_verifier_set_keys(keys->options.verifier, list, used, error);
}

// Reads a key set. The keys in use stay when it cannot be read.
static enum status take_key_set(struct keys *keys, struct slice payload, struct error *error)
{
  if (payload.size > MAX_KEY_SET_BYTES)
    return error_set(error, STATUS_INTERNAL, "the key set has %zu bytes, more than %u", payload.size,
                     MAX_KEY_SET_BYTES);
  if (keys_known(keys) && slice_equal(payload, strbuf_slice(&keys->known)))
    return STATUS_OK;
  ProtobufCMessage *set =
      protobuf_c_message_unpack(keys->options.source.reply, NULL, payload.size, (const uint8_t *)payload.data);
  if (set == NULL)
    return error_set(error, STATUS_INTERNAL, "the key set cannot be read");
  enum status status = use_keys(keys, set, error);
  protobuf_c_message_free_unpacked(set, NULL);
  if (status == STATUS_OK) {
    strbuf_clear(&keys->known);
    strbuf_add(&keys->known, payload);
  }
  return status;
}

// Wakes the requests that have come until then.
static void wake_until(struct keys *keys, uint64_t until_us)
{
  // Waiting requests leave the list before the first is woken, because a woken request may wait again.
  struct list woken;
  list_init(&woken);
  while (!list_empty(&keys->waiting)) {
    struct list *first = keys->waiting.next;
    if (CONTAINER_OF(first, struct key_wait, node)->since_us > until_us)
      break;
    list_remove(first);
    list_append(&woken, first);
  }
  while (!list_empty(&woken)) {
    struct key_wait *wait = CONTAINER_OF(woken.next, struct key_wait, node);
    list_remove(&wait->node);
    wait->wake(wait->arg);
  }
}

// Brings the next fetch forward, for a request that waits for one.
static void hasten_fetch(struct keys *keys)
{
  keys->next_fetch_us = deadline_min(keys->next_fetch_us, keys->begun_us + KEYS_UNKNOWN_EVERY_US);
}

static void on_fetched(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct keys *keys = arg;
  keys->fetch = NULL;
  bool had_keys = keys_known(keys);
  struct error error = {.status = STATUS_OK};
  if (status->code != STATUS_OK) {
    error_set(&error, status->code, "%s: " SLICE_FMT, status_name(status->code), SLICE_ARG(status->message));
  } else {
    error.status = take_key_set(keys, payload, &error);
  }
  bool ok = error.status == STATUS_OK;
  metric_add(ok ? keys->options.ok : keys->options.failed, 1);
  const struct log_field why[] = {LOG_STRING("reason", error.message), LOG_BOOL("haveKeys", keys_known(keys))};
  const struct log_field known[] = {LOG_INT("keys", token_verifier_key_count(keys->options.verifier))};
  log_outage_note(&keys->outage, !ok, ok ? known : why, ok ? ARRAY_LEN(known) : ARRAY_LEN(why));
  if (ok)
    keys->known_since_us = keys->begun_us;
  uint64_t pause = ok ? KEYS_REFRESH_EVERY_US : keys_known(keys) ? KEYS_RETRY_US : KEYS_FIRST_RETRY_US;
  keys->next_fetch_us = keys->options.now_us() + pause;
  // Without any key the waiting requests go on waiting after a failure, because the next fetch may come within their
  // time.
  if (!keys_known(keys))
    return;
  wake_until(keys, had_keys ? keys->begun_us : DEADLINE_NONE);
  if (!list_empty(&keys->waiting))
    hasten_fetch(keys);
}

static void start_fetch(struct keys *keys, uint64_t now_us)
{
  struct rpc_call_options options = {
      .service = keys->options.source.service,
      .method = keys->options.source.method,
      .deadline_us = now_us + KEYS_FETCH_TIMEOUT_US,
      .keeps_request = true,
      .is_repeatable = true,
  };
  keys->begun_us = now_us;
  keys->next_fetch_us = DEADLINE_NONE;
  keys->fetch = keys->options.backend->call(keys->options.backend->arg, &options, on_fetched, keys);
}

void keys_wait(struct keys *keys, struct key_wait *wait)
{
  wait->since_us = keys->options.now_us();
  list_append(&keys->waiting, &wait->node);
  if (keys->fetch != NULL || !keys_known(keys))
    return;
  hasten_fetch(keys);
  if (wait->since_us >= keys->next_fetch_us)
    start_fetch(keys, wait->since_us);
}

void keys_stop_waiting(struct key_wait *wait)
{
  list_remove(&wait->node);
}

void keys_process(struct keys *keys, uint64_t now_us)
{
  if (keys->fetch == NULL && now_us >= keys->next_fetch_us)
    start_fetch(keys, now_us);
  if (now_us >= KEYS_MAX_WAIT_US)
    wake_until(keys, now_us - KEYS_MAX_WAIT_US);
}

uint64_t keys_next_timeout_us(const struct keys *keys)
{
  uint64_t next = keys->fetch == NULL ? keys->next_fetch_us : DEADLINE_NONE;
  if (list_empty(&keys->waiting))
    return next;
  return deadline_min(next, CONTAINER_OF(keys->waiting.next, struct key_wait, node)->since_us + KEYS_MAX_WAIT_US);
}
