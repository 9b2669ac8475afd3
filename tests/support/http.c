#include "tests/support/http.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/arena.h"
#include "common/base/codec.h"
#include "common/base/jsontext_reader.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"

// The test's memory, which is never freed: results stay valid until the process ends. Each thread has an arena, kept in
// a list, so that what it holds counts as reachable when the thread has ended.
struct thread_memory {
  struct arena arena;
  struct thread_memory *next;
};
static _Atomic(struct thread_memory *) all_memory;

static struct arena *memory(void)
{
  static _Thread_local struct thread_memory *own;
  if (own == NULL) {
    own = calloc(1, sizeof(*own));
    cr_assert_not_null(own);
    own->next = atomic_load(&all_memory);
    while (!atomic_compare_exchange_weak(&all_memory, &own->next, own))
      continue;
  }
  return &own->arena;
}

char *text(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  char *result = arena_vprintf(memory(), format, args);
  va_end(args);
  return result;
}

static size_t collect(char *data, size_t size, size_t count, void *arg)
{
  strbuf_add(arg, slice_make(data, size * count));
  return size * count;
}

static struct curl_slist *headers_of(const struct http_request *request)
{
  // "Expect: 100-continue" is turned off, because it would only slow large bodies down.
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  if (request->token != NULL)
    list = curl_slist_append(list, text("Authorization: Bearer %s", request->token));
  if (request->body != NULL)
    list = curl_slist_append(
        list, text("Content-Type: %s", request->content_type == NULL ? "application/json" : request->content_type));
  for (size_t i = 0; i < ARRAY_LEN(request->headers) && request->headers[i] != NULL; i++)
    list = curl_slist_append(list, request->headers[i]);
  return list;
}

static const char *base_url(const struct http_request *request)
{
  const char *url = request->base_url != NULL ? request->base_url : getenv("BULKHEAD_URL");
  cr_assert_not_null(url, "BULKHEAD_URL must name the gateway");
  return url;
}

struct http_reply http_send(const struct http_request *request)
{
  struct strbuf headers, body;
  strbuf_init(&headers, 0);
  strbuf_init(&body, 0);
  CURL *curl = curl_easy_init();
  struct curl_slist *list = headers_of(request);
  curl_easy_setopt(curl, CURLOPT_URL, text("%s%s", base_url(request), request->path));
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  if (request->target != NULL)
    curl_easy_setopt(curl, CURLOPT_REQUEST_TARGET, request->target);
  if (request->from != NULL)
    curl_easy_setopt(curl, CURLOPT_INTERFACE, request->from);
  const char *authority = getenv("BULKHEAD_CA");
  if (authority != NULL && authority[0] != '\0')
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
  if (request->http_version != 0)
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, request->http_version);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->timeout_ms == 0 ? 30000L : request->timeout_ms);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &headers);
  if (request->body != NULL) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE,
                     (long)(request->body_size == 0 ? strlen(request->body) : request->body_size));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
  }
  if (request->method != NULL && strcmp(request->method, "HEAD") == 0)
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  else if (request->method != NULL)
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);

  CURLcode code = curl_easy_perform(curl);
  if (request->timeout_ms == 0)
    cr_assert_eq(code, CURLE_OK, "%s %s: %s", request->method == NULL ? "" : request->method, request->path,
                 curl_easy_strerror(code));
  struct http_reply reply = {.body_size = body.size};
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &reply.seconds);
  curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &reply.http_version);
  reply.status = code == CURLE_OK ? (int)status : 0;
  reply.headers = arena_string(memory(), strbuf_slice(&headers));
  reply.body = arena_string(memory(), strbuf_slice(&body));
  curl_slist_free_all(list);
  curl_easy_cleanup(curl);
  strbuf_free(&headers);
  strbuf_free(&body);
  return reply;
}

const char *http_header(const struct http_reply *reply, const char *name)
{
  struct slice all = slice_from_string(reply->headers);
  size_t name_size = strlen(name);
  for (size_t start = 0; start < all.size;) {
    size_t end = slice_find(all, '\n', start);
    struct slice line = slice_make(all.data + start, end - start);
    if (line.size > name_size && line.data[name_size] == ':' && strncasecmp(line.data, name, name_size) == 0) {
      struct slice value = slice_skip(line, name_size + 1);
      if (value.size > 0 && value.data[value.size - 1] == '\r')
        value.size--;
      return arena_string(memory(), slice_trim(value));
    }
    start = end + 1;
  }
  return NULL;
}

// ---- JSON by path ----

// A step of a path: a key, or an index where key.data is NULL.
struct step {
  struct slice key;
  size_t index;
};

static const char *next_step(const char *path, struct step *step)
{
  if (*path == '[') {
    char *end;
    *step = (struct step){.index = strtoul(path + 1, &end, 10)};
    return end + 1;
  }
  if (*path == '.')
    path++;
  size_t size = strcspn(path, ".[");
  *step = (struct step){.key = slice_make(path, size)};
  return path + size;
}

// Finds the text of the member or item of `json` that `step` names; false where there is none.
static bool step_into(struct slice json, const struct step *step, struct slice *value)
{
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, memory());
  enum jsontext_token token = jsontext_read(&reader);
  if (token == JSONTEXT_OBJECT_BEGIN && step->key.data != NULL) {
    while (jsontext_read(&reader) == JSONTEXT_KEY) {
      bool found = slice_equal(reader.text, step->key);
      cr_assert(jsontext_skip_value(&reader, value), "not JSON: %.*s", SLICE_ARG(json));
      if (found)
        return true;
    }
    return false;
  }
  if (token != JSONTEXT_ARRAY_BEGIN || step->key.data != NULL)
    return false;
  for (size_t i = 0; reader.offset < json.size && json.data[reader.offset] != ']'; i++) {
    if (!jsontext_skip_value(&reader, value))
      return false;
    if (i == step->index)
      return true;
  }
  return false;
}

static bool find_json(const char *json, const char *path, struct slice *value)
{
  *value = slice_from_string(json);
  while (*path != '\0') {
    struct step step;
    path = next_step(path, &step);
    if (!step_into(*value, &step, value))
      return false;
  }
  return true;
}

const char *json_at(const char *json, const char *path)
{
  struct slice value;
  if (!find_json(json, path, &value))
    return NULL;
  struct jsontext_reader reader;
  jsontext_reader_init(&reader, value, JSONTEXT_MAX_DEPTH, memory());
  enum jsontext_token token = jsontext_read(&reader);
  cr_assert_neq(token, JSONTEXT_ERROR, "not JSON at %s: %s", path, json);
  return arena_string(memory(), token == JSONTEXT_STRING ? reader.text : slice_trim(value));
}

const char *http_json(const struct http_reply *reply, const char *path)
{
  return json_at(reply->body, path);
}

int http_json_count(const struct http_reply *reply, const char *path)
{
  struct slice value, item;
  if (!find_json(reply->body, path, &value))
    return -1;
  struct step step = {0};
  while (step_into(value, &step, &item))
    step.index++;
  return (int)step.index;
}

// ---- problems ----

void assert_problem(const struct http_reply *reply, const char *code)
{
  const char *type = http_header(reply, "Content-Type");
  cr_assert_not_null(type, "no Content-Type: %s", reply->headers);
  cr_assert(strncmp(type, "application/problem+json", 24) == 0, "Content-Type is %s: %s", type, reply->body);
  const char *status = http_json(reply, "status");
  cr_assert_not_null(status, "a problem without a status: %s", reply->body);
  cr_assert_str_eq(status, text("%d", reply->status));
  const char *found = http_json(reply, "code");
  cr_assert_not_null(found, "a problem without a code: %s", reply->body);
  cr_assert_str_eq(found, code, "%s", reply->body);
  cr_assert_not_null(http_json(reply, "title"), "%s", reply->body);
  cr_assert_not_null(http_json(reply, "requestId"), "%s", reply->body);
}

void assert_violation(const struct http_reply *reply, const char *field)
{
  int count = http_json_count(reply, "violations");
  for (int i = 0; i < count; i++) {
    const char *found = http_json(reply, text("violations[%d].field", i));
    if (found != NULL && strcmp(found, field) == 0)
      return;
  }
  cr_assert_fail("no violation names %s: %s", field, reply->body);
}

// ---- accounts and items ----

const char *fresh_address(void)
{
  return text("127.%u.%u.%u", 16 + (unsigned)random_below(200), (unsigned)random_below(256),
              1 + (unsigned)random_below(254));
}

const char *fresh_word(void)
{
  unsigned char bytes[6];
  char digits[2 * sizeof(bytes) + 1] = "";
  random_bytes(bytes, sizeof(bytes));
  hex_encode(bytes, sizeof(bytes), digits);
  return text("w%s", digits);
}

const char *fresh_email(void)
{
  return text("%s@example.com", fresh_word());
}

struct http_reply account_sign_up(const char *email, const char *password)
{
  return HTTP(.path = "/v1/users",
              .body = text("{\"email\":\"%s\",\"password\":\"%s\",\"displayName\":\"Ada Lovelace\"}", email, password));
}

struct http_reply account_login(const char *email, const char *password)
{
  return HTTP(.path = "/v1/auth/login", .body = text("{\"email\":\"%s\",\"password\":\"%s\"}", email, password));
}

struct account account_create(void)
{
  struct account account = {.email = fresh_email(), .password = "correct horse battery"};
  struct http_reply created = account_sign_up(account.email, account.password);
  ASSERT_STATUS(created, 201);
  account.id = http_json(&created, "id");
  struct http_reply tokens = account_login(account.email, account.password);
  ASSERT_STATUS(tokens, 200);
  account.token = http_json(&tokens, "accessToken");
  account.refresh_token = http_json(&tokens, "refreshToken");
  return account;
}

const char *item_create(const struct account *owner, const char *json)
{
  struct http_reply reply = HTTP(.path = "/v1/items", .token = owner->token, .body = json);
  ASSERT_STATUS(reply, 201);
  return http_json(&reply, "id");
}
