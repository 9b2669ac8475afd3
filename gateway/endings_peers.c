#include "gateway/endings_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/v1/endings.pb-c.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"

void endings_init(struct endings *endings, const struct endings_options *options)
{
  *endings = (struct endings){
      .options = *options,
      .outage = {.subject = "endings",
                 .failure =
                     "could not ask the auth service which sessions have ended; retrying; until it answers, access "
                     "tokens of sessions that end now are taken until they expire",
                 .recovery = "the auth service says again which sessions have ended"}};
}

void endings_stop(struct endings *endings)
{
  if (endings->call != NULL)
    endings->options.backend->cancel(endings->options.backend->arg, endings->call);
  endings->call = NULL;
}

static void note_position(struct endings *endings, const Auth__V1__EndingsPosition *position)
{
  size_t i = 0;
  while (i < endings->position_count && strcmp(endings->positions[i].instance, position->instance) != 0)
    i++;
  if (i == endings->position_count && i < ENDINGS_MAX_INSTANCES) {
    endings->position_count++;
  } else if (i == endings->position_count) {
    i = endings->next_position;
    endings->next_position = (i + 1) % ENDINGS_MAX_INSTANCES;
  }
  snprintf(endings->positions[i].instance, sizeof(endings->positions[i].instance), "%s", position->instance);
  endings->positions[i].sequence = position->sequence;
}

// Takes what has ended. Returns whether there is more to ask for.
static bool take_reply(struct endings *endings, struct slice payload)
{
  Auth__V1__ListEndingsResponse *reply =
      auth__v1__list_endings_response__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  if (reply == NULL)
    return false;
  struct token_verifier *verifier = endings->options.verifier;
  int64_t now = endings->options.wall_us() / 1000000;
  for (size_t i = 0; i < reply->n_endings; i++) {
    const Auth__V1__Ending *ending = reply->endings[i];
    struct slice user = slice_from_string(ending->user_id);
    if (ending->session_id[0] != '\0')
      token_verifier_end_session(verifier, user, slice_from_string(ending->session_id), ending->expire_s, now);
    else if (ending->generation > 0)
      token_verifier_end_user(verifier, user, ending->generation, ending->expire_s, now);
  }
  if (reply->position != NULL)
    note_position(endings, reply->position);
  bool more = reply->more && reply->n_endings > 0;
  auth__v1__list_endings_response__free_unpacked(reply, NULL);
  return more;
}

static void on_reply(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct endings *endings = arg;
  endings->call = NULL;
  bool ok = status->code == STATUS_OK;
  bool more = ok && take_reply(endings, payload);
  const struct log_field why[] = {LOG_STATUS(status->code), LOG_SLICE("reason", status->message)};
  log_outage_note(&endings->outage, !ok, why, ok ? 0 : ARRAY_LEN(why));
  endings->next_us = endings->options.now_us() + (more ? 0 : ENDINGS_EVERY_US);
}

static void ask(struct endings *endings, uint64_t now_us)
{
  Auth__V1__EndingsPosition positions[ENDINGS_MAX_INSTANCES];
  Auth__V1__EndingsPosition *list[ENDINGS_MAX_INSTANCES];
  for (size_t i = 0; i < endings->position_count; i++) {
    auth__v1__endings_position__init(&positions[i]);
    positions[i].instance = endings->positions[i].instance;
    positions[i].sequence = endings->positions[i].sequence;
    list[i] = &positions[i];
  }
  Auth__V1__ListEndingsRequest request = AUTH__V1__LIST_ENDINGS_REQUEST__INIT;
  request.positions = list;
  request.n_positions = endings->position_count;
  uint8_t payload[ENDINGS_MAX_INSTANCES * 96];
  CHECK(auth__v1__list_endings_request__get_packed_size(&request) <= sizeof(payload));
  // No retries: the next call follows soon, and the budget of retries is for calls that somebody waits for.
  const struct rpc_call_options options = {
      .service = "auth",
      .method = SLICE("auth.v1.EndingService/ListEndings"),
      .payload = slice_make(payload, auth__v1__list_endings_request__pack(&request, payload)),
      .deadline_us = now_us + ENDINGS_TIMEOUT_US,
  };
  endings->next_us = DEADLINE_NONE;
  endings->call = endings->options.backend->call(endings->options.backend->arg, &options, on_reply, endings);
}

void endings_process(struct endings *endings, uint64_t now_us)
{
  if (endings->call == NULL && now_us >= endings->next_us)
    ask(endings, now_us);
}

uint64_t endings_next_timeout_us(const struct endings *endings)
{
  return endings->call == NULL ? endings->next_us : DEADLINE_NONE;
}
