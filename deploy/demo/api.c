#include "deploy/demo/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/arena.h"
#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"

#define REQUEST_TIMEOUT_SECONDS 60L
#define MAX_TRIES 60
// New tokens this long before the old ones end.
#define RENEW_EARLY_SECONDS 60

double now_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t collect(char *data, size_t size, size_t count, void *arg)
{
  struct strbuf *reply = arg;
  strbuf_add(reply, slice_make(data, size * count));
  return size * count;
}

void exchange_init(struct exchange *exchange)
{
  *exchange = (struct exchange){.curl = curl_easy_init()};
  strbuf_init(&exchange->request, 0);
  strbuf_init(&exchange->reply, 0);
  curl_easy_setopt(exchange->curl, CURLOPT_PRIVATE, exchange);
  curl_easy_setopt(exchange->curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(exchange->curl, CURLOPT_NOSIGNAL, 1L);
  // A local stack with TLS has an authority of its own.
  const char *authority = getenv("BULKHEAD_CA");
  if (authority != NULL && authority[0] != '\0')
    curl_easy_setopt(exchange->curl, CURLOPT_CAINFO, authority);
  curl_easy_setopt(exchange->curl, CURLOPT_TIMEOUT, REQUEST_TIMEOUT_SECONDS);
  curl_easy_setopt(exchange->curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(exchange->curl, CURLOPT_WRITEDATA, &exchange->reply);
}

void exchange_free(struct exchange *exchange)
{
  curl_easy_cleanup(exchange->curl);
  curl_slist_free_all(exchange->headers);
  strbuf_free(&exchange->request);
  strbuf_free(&exchange->reply);
}

static void add_header(struct exchange *exchange, const char *format, const char *value)
{
  struct strbuf line;
  strbuf_init(&line, 0);
  strbuf_add_string(&line, format);
  strbuf_add_string(&line, value);
  exchange->headers = curl_slist_append(exchange->headers, strbuf_cstring(&line));
  strbuf_free(&line);
}

void exchange_prepare(struct exchange *exchange, const struct session *session, const char *path)
{
  curl_slist_free_all(exchange->headers);
  exchange->headers = NULL;
  strbuf_clear(&exchange->reply);
  add_header(exchange, "Expect:", "");
  struct strbuf *token = (struct strbuf *)(uintptr_t)&session->access_token;
  if (token->size > 0)
    add_header(exchange, "Authorization: Bearer ", strbuf_cstring(token));
  struct strbuf url;
  strbuf_init(&url, 0);
  strbuf_add_string(&url, session->url);
  strbuf_add_string(&url, path);
  curl_easy_setopt(exchange->curl, CURLOPT_URL, strbuf_cstring(&url));
  strbuf_free(&url);
  if (exchange->request.size > 0) {
    add_header(exchange, "Content-Type: application/json", "");
    curl_easy_setopt(exchange->curl, CURLOPT_POSTFIELDSIZE, (long)exchange->request.size);
    curl_easy_setopt(exchange->curl, CURLOPT_POSTFIELDS, exchange->request.data);
  } else {
    curl_easy_setopt(exchange->curl, CURLOPT_HTTPGET, 1L);
  }
  curl_easy_setopt(exchange->curl, CURLOPT_HTTPHEADER, exchange->headers);
}

void exchange_finish(struct exchange *exchange, CURLcode code)
{
  curl_off_t retry_after = 0;
  exchange->status = 0;
  if (code == CURLE_OK)
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
  curl_easy_getinfo(exchange->curl, CURLINFO_TOTAL_TIME, &exchange->seconds);
  curl_easy_getinfo(exchange->curl, CURLINFO_RETRY_AFTER, &retry_after);
  exchange->retry_after = retry_after > 60 ? 60 : (long)retry_after;
}

void exchange_tell_wait(const struct exchange *exchange)
{
  enum { TELL_EVERY_S = 10 };
  static double told;
  double now = now_seconds();
  if (told != 0 && now - told < TELL_EVERY_S)
    return;
  told = now;
  struct strbuf reason;
  strbuf_init(&reason, 0);
  json_member(strbuf_slice(&exchange->reply), "reason", &reason);
  const char *cause = exchange->status == 429 ? "; RATE_EXPENSIVE of the gateway bounds batches and lists" : "";
  fprintf(stderr, "\n  asked to come back later (HTTP %ld %s)%s; waiting, and going on by itself\n", exchange->status,
          strbuf_cstring(&reason), cause);
  strbuf_free(&reason);
}

static void wait_as_asked(const struct exchange *exchange)
{
  exchange_tell_wait(exchange);
  struct timespec pause = {.tv_sec = exchange->retry_after > 0 ? exchange->retry_after : 1};
  nanosleep(&pause, NULL);
}

void exchange_run(struct exchange *exchange, const struct session *session, const char *path)
{
  for (int tries = 0; tries < MAX_TRIES; tries++) {
    exchange_prepare(exchange, session, path);
    exchange_finish(exchange, curl_easy_perform(exchange->curl));
    if (exchange->status != 429 && exchange->status != 503)
      return;
    wait_as_asked(exchange);
  }
}

void json_member(struct slice json, const char *key, struct strbuf *out)
{
  struct arena arena;
  struct jsontext_reader reader;
  arena_init(&arena);
  strbuf_clear(out);
  jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, &arena);
  bool going = jsontext_read(&reader) == JSONTEXT_OBJECT_BEGIN;
  while (going && jsontext_read(&reader) == JSONTEXT_KEY) {
    if (!slice_equal_string(reader.text, key)) {
      going = jsontext_skip_value(&reader, NULL);
      continue;
    }
    enum jsontext_token token = jsontext_read(&reader);
    if (token == JSONTEXT_STRING || token == JSONTEXT_NUMBER)
      strbuf_add(out, reader.text);
    break;
  }
  arena_free(&arena);
}

// ---- sessions ----

static void complain(const char *what, const struct exchange *exchange)
{
  fprintf(stderr, "%s: HTTP %ld %.*s\n", what, exchange->status, (int)exchange->reply.size,
          exchange->reply.size > 0 ? exchange->reply.data : "");
}

static bool take_tokens(struct session *session, const struct exchange *exchange)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  json_member(strbuf_slice(&exchange->reply), "accessToken", &session->access_token);
  json_member(strbuf_slice(&exchange->reply), "refreshToken", &session->refresh_token);
  json_member(strbuf_slice(&exchange->reply), "expiresIn", &text);
  uint64_t seconds = 0;
  bool good = slice_to_uint64(strbuf_slice(&text), 1, UINT32_MAX, &seconds) && session->access_token.size > 0;
  session->renew_at = now_seconds() + (double)seconds - RENEW_EARLY_SECONDS;
  strbuf_free(&text);
  return good;
}

static void write_credentials(struct exchange *exchange, const struct session *session, bool sign_up)
{
  struct jsontext_writer writer;
  strbuf_clear(&exchange->request);
  jsontext_writer_init(&writer, &exchange->request);
  jsontext_begin_object(&writer);
  jsontext_key_string(&writer, "email", slice_from_string(session->email));
  jsontext_key_string(&writer, "password", slice_from_string(session->password));
  if (sign_up)
    jsontext_key_string(&writer, "displayName", SLICE("Debian package index"));
  jsontext_end_object(&writer);
}

static bool log_in(struct session *session, struct exchange *exchange)
{
  write_credentials(exchange, session, true);
  exchange_run(exchange, session, "/v1/users");
  if (exchange->status != 201 && exchange->status != 409) {
    complain("signing up failed", exchange);
    return false;
  }
  write_credentials(exchange, session, false);
  exchange_run(exchange, session, "/v1/auth/login");
  if (exchange->status != 200 || !take_tokens(session, exchange)) {
    complain("logging in failed", exchange);
    return false;
  }
  strbuf_clear(&exchange->request);
  exchange_run(exchange, session, "/v1/users/me");
  json_member(strbuf_slice(&exchange->reply), "id", &session->user_id);
  return session->user_id.size > 0;
}

bool session_open(struct session *session)
{
  struct exchange exchange;
  exchange_init(&exchange);
  bool good = log_in(session, &exchange);
  exchange_free(&exchange);
  return good;
}

bool session_keep_fresh(struct session *session)
{
  if (now_seconds() < session->renew_at)
    return true;
  struct exchange exchange;
  exchange_init(&exchange);
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, &exchange.request);
  jsontext_begin_object(&writer);
  jsontext_key_string(&writer, "refreshToken", strbuf_slice(&session->refresh_token));
  jsontext_end_object(&writer);
  exchange_run(&exchange, session, "/v1/auth/refresh");
  bool good = exchange.status == 200 && take_tokens(session, &exchange);
  if (!good)
    complain("refreshing the tokens failed", &exchange);
  exchange_free(&exchange);
  return good;
}
