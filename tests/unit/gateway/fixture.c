#define _GNU_SOURCE 1
#include "tests/unit/gateway/fixture.h"

#include <criterion/redirect.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/wire.h"
#include "common/security/key.h"
#include "common/security/token.h"

uint64_t fixture_now_us = 1000000000;
int64_t fixture_auth_time;
struct slice fixture_session;
int64_t fixture_generation;
int64_t fixture_wall_us = INT64_C(1760000000000000);

static uint64_t now_us(void)
{
  return fixture_now_us;
}

static int64_t wall_us(void)
{
  return fixture_wall_us;
}

static const struct gateway_clock clock = {.now_us = now_us, .wall_us = wall_us};

static void copy_context(struct fixture *fixture, struct fixture_call *call, const struct rpc_context *context)
{
  if (context == NULL)
    return;
  call->request_id = arena_copy(&fixture->arena, context->request_id);
  call->traceparent = arena_copy(&fixture->arena, context->traceparent);
  call->access_token = arena_copy(&fixture->arena, context->access_token);
  call->idempotency_key = arena_copy(&fixture->arena, context->idempotency_key);
  call->user_agent = arena_copy(&fixture->arena, context->user_agent);
}

static struct rpc_call *backend_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done,
                                     void *done_arg)
{
  struct fixture *fixture = arg;
  CHECK(fixture->call_count < FIXTURE_MAX_CALLS);
  struct fixture_call *call = &fixture->calls[fixture->call_count++];
  snprintf(call->service, sizeof(call->service), "%s", options->service);
  snprintf(call->method, sizeof(call->method), SLICE_FMT, SLICE_ARG(options->method));
  call->payload = arena_copy(&fixture->arena, options->payload);
  call->deadline_us = options->deadline_us;
  call->reply_wait_ms = options->reply_wait_ms;
  call->is_repeatable = options->is_repeatable;
  call->hedge_after_ms = options->hedge_after_ms;
  call->done = done;
  call->arg = done_arg;
  call->stream = options->stream;
  copy_context(fixture, call, options->context);
  return (struct rpc_call *)(void *)call;
}

static bool backend_cancel(void *arg, struct rpc_call *call)
{
  (void)arg;
  struct fixture_call *cancelled = (struct fixture_call *)(void *)call;
  CHECK(!cancelled->ended && !cancelled->cancelled);
  cancelled->cancelled = true;
  return true;
}

static void backend_take(void *arg, struct rpc_call *call, size_t count, size_t size)
{
  (void)arg;
  struct fixture_call *taken = (struct fixture_call *)(void *)call;
  taken->taken_count += count;
  taken->taken_bytes += size;
}

static bool backend_may_write(void *arg, struct rpc_call *call)
{
  (void)arg;
  return !((struct fixture_call *)(void *)call)->is_full;
}

static bool backend_write(void *arg, struct rpc_call *call, struct slice message)
{
  struct fixture *fixture = arg;
  struct fixture_call *target = (struct fixture_call *)(void *)call;
  CHECK(!target->is_full && !target->is_half_closed && !target->cancelled && !target->ended);
  target->written++;
  target->last_written = arena_copy(&fixture->arena, message);
  return true;
}

static void backend_half_close(void *arg, struct rpc_call *call)
{
  (void)arg;
  ((struct fixture_call *)(void *)call)->is_half_closed = true;
}

static struct slice backend_instance(void *arg, const struct rpc_call *call)
{
  (void)arg;
  (void)call;
  return SLICE("played");
}

void fixture_take_more(struct fixture_call *call)
{
  call->is_full = false;
  call->stream->on_writable(call->arg);
}

void fixture_send(struct fixture_call *call, struct slice payload)
{
  CHECK(call->stream != NULL && !call->ended && !call->cancelled);
  call->stream->on_message(call->arg, payload);
}

struct fixture *fixture_open(void)
{
  const char *path = getenv("BULKHEAD_PROTOSET");
  CHECK(path != NULL);
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  CHECK(fixture != NULL);
  struct error error;
  if (api_load_file(path, &fixture->api, &error) != STATUS_OK) {
    fprintf(stderr, "%s\n", error.message);
    abort();
  }
  CHECK(key_generate(&fixture->arena, &fixture->private_pem) == STATUS_OK);
  CHECK(key_public_parts(fixture->private_pem, &fixture->arena, &fixture->x, &fixture->y, &fixture->kid) == STATUS_OK);
  fixture->gateway = gateway_create(&(struct gateway_options){.api = fixture->api,
                                                              .issuer = FIXTURE_ISSUER,
                                                              .audience = FIXTURE_AUDIENCE,
                                                              .backend = {.arg = fixture,
                                                                          .call = backend_call,
                                                                          .cancel = backend_cancel,
                                                                          .take = backend_take,
                                                                          .may_write = backend_may_write,
                                                                          .write = backend_write,
                                                                          .half_close = backend_half_close,
                                                                          .instance = backend_instance},
                                                              .clock = &clock});
  return fixture;
}

static void compile_contract(const char *folder, const char *text)
{
  char path[128];
  snprintf(path, sizeof(path), "%s/test.proto", folder);
  FILE *file = fopen(path, "we");
  CHECK(file != NULL);
  fprintf(file,
          "syntax = \"proto3\";\npackage test.v1;\nimport \"bulkhead/v1/options.proto\";\n"
          "import \"google/api/annotations.proto\";\n%s",
          text);
  CHECK(fclose(file) == 0);
  char source[128];
  char result[128];
  snprintf(source, sizeof(source), "-I%s", folder);
  snprintf(result, sizeof(result), "--descriptor_set_out=%s/set", folder);
  char *arguments[] = {"protoc",
                       source,
                       "-Iproto",
                       "-I/usr/include",
                       "--include_imports",
                       "--include_source_info",
                       result,
                       "test.proto",
                       "auth/v1/auth.proto",
                       NULL};
  pid_t child;
  int status = -1;
  CHECK(posix_spawnp(&child, "protoc", NULL, NULL, arguments, environ) == 0);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

struct fixture *fixture_open_with(const char *text)
{
  char folder[] = "/tmp/bulkhead-gateway-XXXXXX";
  char path[128];
  CHECK(mkdtemp(folder) != NULL);
  compile_contract(folder, text);
  snprintf(path, sizeof(path), "%s/set", folder);
  // Changing the environment is safe, because each test has a process of its own.
  CHECK(setenv("BULKHEAD_PROTOSET", path, 1) == 0);
  struct fixture *fixture = fixture_open();
  unlink(path);
  snprintf(path, sizeof(path), "%s/test.proto", folder);
  unlink(path);
  rmdir(folder);
  return fixture;
}

struct slice fixture_key_set(struct fixture *fixture)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  size_t mark = wire_begin_nested(&wire, 1);
  wire_write_bytes(&wire, 1, SLICE("EC"));
  wire_write_bytes(&wire, 2, SLICE("P-256"));
  wire_write_bytes(&wire, 3, fixture->kid);
  wire_write_bytes(&wire, 4, SLICE("sig"));
  wire_write_bytes(&wire, 5, SLICE("ES256"));
  wire_write_bytes(&wire, 6, fixture->x);
  wire_write_bytes(&wire, 7, fixture->y);
  wire_end_nested(&wire, mark);
  struct slice copy = arena_copy(&fixture->arena, strbuf_slice(&wire));
  strbuf_free(&wire);
  return copy;
}

void fixture_give_keys(struct fixture *fixture)
{
  size_t index = fixture->call_count;
  gateway_process(fixture->gateway, fixture_now_us);
  fixture_answer(fixture_call(fixture, index), fixture_key_set(fixture));
  CHECK(keys_known(&fixture->gateway->keys));
}

void fixture_close(struct fixture *fixture)
{
  gateway_free(&fixture->gateway);
  api_free(&fixture->api);
  arena_free(&fixture->arena);
  free(fixture);
}

static struct slice bearer(struct fixture *fixture, const char *kid, const char *pem, const char *role,
                           int64_t lifetime_s)
{
  struct slice roles[] = {role == NULL ? SLICE("user") : slice_from_string(role)};
  struct token_claims claims = {
      .subject = SLICE(FIXTURE_USER_ID),
      .roles = roles,
      .role_count = roles[0].size == 0 ? 0 : 1,
      .id = SLICE("01936b5e-7c1a-7d3e-9f00-0000000000aa"),
      .issued_at = fixture_wall_us / 1000000,
      .expires_at = fixture_wall_us / 1000000 + lifetime_s,
      .auth_time = fixture_auth_time,
      .session = fixture_session,
      .generation = fixture_generation,
  };
  struct slice token;
  CHECK(token_sign(&(struct token_signing_key){.kid = kid, .private_pem = pem}, FIXTURE_ISSUER, FIXTURE_AUDIENCE,
                   &claims, &fixture->arena, &token) == STATUS_OK);
  return slice_from_string(arena_printf(&fixture->arena, "Bearer " SLICE_FMT, SLICE_ARG(token)));
}

struct slice fixture_bearer(struct fixture *fixture, const char *role, int64_t lifetime_s)
{
  return bearer(fixture, arena_string(&fixture->arena, fixture->kid), fixture->private_pem, role, lifetime_s);
}

struct slice fixture_foreign_bearer(struct fixture *fixture)
{
  const char *pem = NULL;
  CHECK(key_generate(&fixture->arena, &pem) == STATUS_OK);
  return bearer(fixture, "another-key", pem, NULL, 900);
}

static void on_progress(void *arg, enum exchange_next next)
{
  struct fixture *fixture = arg;
  fixture->progress_count++;
  fixture->progress = next;
}

struct exchange *fixture_exchange(struct fixture *fixture)
{
  return exchange_open(fixture->gateway, on_progress, fixture);
}

struct fixture_call *fixture_call(struct fixture *fixture, size_t index)
{
  CHECK(index < fixture->call_count);
  return &fixture->calls[index];
}

void fixture_answer_status(struct fixture_call *call, const struct rpc_status *status)
{
  CHECK(!call->ended && !call->cancelled);
  call->ended = true;
  call->done(call->arg, status, (struct slice){0});
}

void fixture_answer(struct fixture_call *call, struct slice payload)
{
  CHECK(!call->ended && !call->cancelled);
  call->ended = true;
  call->done(call->arg, &(struct rpc_status){.code = STATUS_OK}, payload);
}

static struct slice no_header(void *arg, const char *name)
{
  (void)arg;
  (void)name;
  return (struct slice){0};
}

const char *fixture_read_log(void)
{
  static char text[8192];
  fflush(stderr);
  text[fread(text, 1, sizeof(text) - 1, cr_get_redirected_stderr())] = '\0';
  return text;
}

struct exchange_input fixture_input(const char *method, const char *path)
{
  return (struct exchange_input){
      .method = slice_from_string(method), .path = slice_from_string(path), .header = no_header};
}

struct slice fixture_field(const struct exchange_headers *list, const char *name)
{
  for (size_t i = 0; i < list->count; i++)
    if (slice_equal_string(list->items[i].name, name))
      return list->items[i].value;
  return (struct slice){0};
}

struct slice fixture_header(const struct exchange_reply *reply, const char *name)
{
  return fixture_field(&reply->headers, name);
}

bool fixture_contains(struct slice text, const char *part)
{
  return text.size > 0 && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

struct slice fixture_item(struct fixture *fixture, const char *name, const char *etag)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, SLICE(FIXTURE_ITEM_ID));
  wire_write_bytes(&wire, 4, slice_from_string(name));
  wire_write_bytes(&wire, 12, slice_from_string(etag));
  struct slice copy = arena_copy(&fixture->arena, strbuf_slice(&wire));
  strbuf_free(&wire);
  return copy;
}
