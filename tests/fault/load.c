#include "tests/fault/load.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/support/environment.h"
#include "tests/support/history/history.h"
#include "tests/support/item_value.h"
#include "tests/support/stack.h"

enum {
  READERS = 2,  // of each item
  WRITERS = 2,
  CLIENTS = LOAD_ITEMS * (READERS + WRITERS),
  TIMEOUT_MS = 15000,  // longer than the gateway takes for any answer
  ETAG_SIZE = 64,
};

struct counters {
  atomic_size_t reads, writes, failed;
};

struct client {
  struct load *load;
  uint32_t number;
  uint32_t item;
  bool writes;
  struct background *background;
  CURL *curl;
  struct strbuf body;
  char etag[ETAG_SIZE];  // of the latest answer; "" without one
  uint64_t seen;         // the value that the etag belongs to
  struct history history;
};

struct load {
  const char *token;
  const char *ids[LOAD_ITEMS];
  struct counters counters[LOAD_ITEMS];
  struct client clients[CLIENTS];
  atomic_uint_least64_t last_value;
  atomic_bool stop, pause;
  _Atomic(const char *) unexpected;  // the first answer that no fault explains
  struct history history;            // complete after load_stop
};

// ---- one exchange ----

struct exchange {
  const char *body;  // NULL: GET; else PATCH
  bool conditional;  // with the client's etag as If-Match
  bool never_sent;   // there was no connection
  int status;        // 0 without an answer
  uint64_t invoked_us;
  uint64_t answered_us;
};

static size_t collect_body(char *data, size_t size, size_t count, void *arg)
{
  strbuf_add(arg, slice_make(data, size * count));
  return size * count;
}

static size_t collect_etag(char *data, size_t size, size_t count, void *arg)
{
  struct client *client = arg;
  struct slice line = slice_make(data, size * count);
  while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
    line.size--;
  if (line.size > 5 && line.size < ETAG_SIZE && strncasecmp(line.data, "etag:", 5) == 0)
    snprintf(client->etag, sizeof(client->etag), "%.*s", SLICE_ARG(slice_trim(slice_skip(line, 5))));
  return size * count;
}

static struct curl_slist *make_headers(const struct client *client, const struct exchange *exchange)
{
  char line[4096];
  snprintf(line, sizeof(line), "Authorization: Bearer %s", client->load->token);
  struct curl_slist *headers = curl_slist_append(NULL, line);
  headers = curl_slist_append(headers, "Content-Type: application/json");
  if (!exchange->conditional)
    return headers;
  snprintf(line, sizeof(line), "If-Match: %s", client->etag);
  return curl_slist_append(headers, line);
}

static void set_options(struct client *client, const struct exchange *exchange)
{
  CURL *curl = client->curl;
  char url[512];
  snprintf(url, sizeof(url), "%s/v1/items/%s", getenv("BULKHEAD_URL"), client->load->ids[client->item]);
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &client->body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect_etag);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
  if (exchange->body == NULL)
    return;
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PATCH");
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, exchange->body);
  // libcurl repeats a request by itself where a connection that it has used before turns out to be closed.
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
}

static void perform(struct client *client, struct exchange *exchange)
{
  struct curl_slist *headers = make_headers(client, exchange);
  set_options(client, exchange);
  curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
  strbuf_clear(&client->body);
  client->etag[0] = '\0';
  exchange->invoked_us = clock_now_us();
  CURLcode code = curl_easy_perform(client->curl);
  exchange->answered_us = clock_now_us();
  long status = 0;
  curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
  exchange->status = code == CURLE_OK ? (int)status : 0;
  exchange->never_sent = code == CURLE_COULDNT_CONNECT;
  curl_slist_free_all(headers);
}

// ---- reads and writes ----

static bool body_holds(struct client *client, const char *member)
{
  return strstr(strbuf_cstring(&client->body), member) != NULL;
}

static bool was_not_applied(struct client *client)
{
  return body_holds(client, "\"reason\":\"NOT_APPLIED\"");
}

// Tells whether a fault explains the answer: none came, or one that says whether the request has had an effect.
static bool is_explained(struct client *client, const struct exchange *exchange)
{
  if (exchange->status != 503 && exchange->status != 504)
    return exchange->status == 0;
  return was_not_applied(client) || body_holds(client, "\"reason\":\"OUTCOME_UNKNOWN\"");
}

// Counts a failure. An answer that no fault explains is kept; a pause keeps clients from taking all of the machine
// while nothing works.
static void note_failure(struct client *client, const struct exchange *exchange)
{
  atomic_fetch_add(&client->load->counters[client->item].failed, 1);
  if (!is_explained(client, exchange)) {
    const char *none = NULL;
    const char *answer = text("%s was answered %d: %s", exchange->body == NULL ? "GET" : "PATCH", exchange->status,
                              strbuf_cstring(&client->body));
    atomic_compare_exchange_strong(&client->load->unexpected, &none, answer);
  }
  usleep(5000);
}

static struct history_operation make_operation(const struct client *client, const struct exchange *exchange,
                                               uint64_t value)
{
  return (struct history_operation){
      .client = client->number,
      .item = client->item,
      .kind = exchange->body == NULL ? HISTORY_READ : HISTORY_WRITE,
      .value = value,
      .invoked_us = exchange->invoked_us,
      .answered_us = exchange->answered_us,
  };
}

// Records the item in an answer as read. The answer to a write holds the item, too.
static void record_read(struct client *client, const struct exchange *exchange)
{
  client->seen = item_value_in(strbuf_cstring(&client->body));
  struct history_operation operation = make_operation(client, exchange, client->seen);
  operation.kind = HISTORY_READ;
  history_add(&client->history, &operation);
}

static void read_item(struct client *client)
{
  struct exchange exchange = {0};
  perform(client, &exchange);
  if (exchange.status != 200) {
    note_failure(client, &exchange);
    return;
  }
  record_read(client, &exchange);
  atomic_fetch_add(&client->load->counters[client->item].reads, 1);
}

static enum history_outcome outcome_of(struct client *client, const struct exchange *exchange)
{
  if (exchange->status == 200)
    return HISTORY_DONE;
  if (exchange->never_sent || (exchange->status == 412 && exchange->conditional))
    return HISTORY_NOT_APPLIED;
  return is_explained(client, exchange) && was_not_applied(client) ? HISTORY_NOT_APPLIED : HISTORY_UNKNOWN;
}

static void write_item(struct client *client)
{
  char body[ITEM_VALUE_BODY_BYTES];
  uint64_t value = atomic_fetch_add(&client->load->last_value, 1) + 1;
  struct exchange exchange = {.body = item_value_body(value, body),
                              .conditional = client->etag[0] != '\0' && random_below(3) == 0};
  uint64_t expected = exchange.conditional ? client->seen : 0;
  perform(client, &exchange);
  struct history_operation operation = make_operation(client, &exchange, value);
  operation.expected = expected;
  operation.outcome = outcome_of(client, &exchange);
  history_add(&client->history, &operation);
  if (operation.outcome == HISTORY_DONE) {
    record_read(client, &exchange);
    atomic_fetch_add(&client->load->counters[client->item].writes, 1);
  } else if (exchange.status != 412) {
    note_failure(client, &exchange);
  }
}

static void run_client(void *arg)
{
  struct client *client = arg;
  struct load *load = client->load;
  while (!atomic_load(&load->stop)) {
    if (client->writes && !atomic_load(&load->pause) && random_below(2) == 0)
      write_item(client);
    else
      read_item(client);
  }
}

// ---- all clients ----

static void create_item(struct load *load, uint32_t item, const struct account *owner)
{
  uint64_t value = atomic_fetch_add(&load->last_value, 1) + 1;
  struct history_operation operation = {
      .item = item, .kind = HISTORY_WRITE, .value = value, .invoked_us = clock_now_us()};
  load->ids[item] =
      item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"category\":\"v%llu\",\"quantity\":%llu}",
                              fresh_word(), (unsigned long long)value, (unsigned long long)value));
  operation.answered_us = clock_now_us();
  history_add(&load->history, &operation);
}

struct load *load_start(const struct account *owner)
{
  struct load *load = calloc(1, sizeof(*load));
  cr_assert_not_null(load);
  (void)need_variable("BULKHEAD_URL");
  load->token = owner->token;
  for (uint32_t i = 0; i < LOAD_ITEMS; i++)
    create_item(load, i, owner);
  for (uint32_t i = 0; i < CLIENTS; i++) {
    struct client *client = &load->clients[i];
    *client = (struct client){.load = load,
                              .number = i + 1,
                              .item = i % LOAD_ITEMS,
                              .writes = i >= LOAD_ITEMS * READERS,
                              .curl = curl_easy_init()};
    cr_assert_not_null(client->curl);
    client->background = background_start(run_client, client);
  }
  return load;
}

void load_stop(struct load *load)
{
  atomic_store(&load->stop, true);
  for (size_t i = 0; i < CLIENTS; i++) {
    struct client *client = &load->clients[i];
    background_join(client->background);
    curl_easy_cleanup(client->curl);
    history_add_all(&load->history, &client->history);
  }
}

void load_free(struct load *load)
{
  for (size_t i = 0; i < CLIENTS; i++) {
    strbuf_free(&load->clients[i].body);
    history_free(&load->clients[i].history);
  }
  history_free(&load->history);
  free(load);
}

const char *load_item_id(const struct load *load, size_t item)
{
  return load->ids[item];
}

struct load_counts load_count(const struct load *load, size_t item)
{
  const struct counters *counters = &load->counters[item];
  return (struct load_counts){.reads = atomic_load(&counters->reads),
                              .writes = atomic_load(&counters->writes),
                              .failed = atomic_load(&counters->failed)};
}

void load_pause_writes(struct load *load, bool pause)
{
  atomic_store(&load->pause, pause);
}

struct progress {
  const struct load *load;
  unsigned items;
  struct load_counts least[LOAD_ITEMS];
};

// Counts the items of the set that have come so far.
static size_t count_come_so_far(const struct progress *progress)
{
  size_t count = 0;
  for (size_t i = 0; i < LOAD_ITEMS; i++) {
    struct load_counts now = load_count(progress->load, i);
    count += (progress->items >> i & 1) != 0 && now.reads >= progress->least[i].reads &&
             now.writes >= progress->least[i].writes;
  }
  return count;
}

static bool have_all_come_so_far(const void *arg)
{
  const struct progress *progress = arg;
  return count_come_so_far(progress) == (size_t)__builtin_popcount(progress->items);
}

static bool has_any_come_so_far(const void *arg)
{
  return count_come_so_far(arg) > 0;
}

static struct progress expect_progress(const struct load *load, unsigned items, size_t reads, size_t writes)
{
  struct progress progress = {.load = load, .items = items};
  for (size_t i = 0; i < LOAD_ITEMS; i++) {
    progress.least[i] = load_count(load, i);
    progress.least[i].reads += reads;
    progress.least[i].writes += writes;
  }
  return progress;
}

void load_await(struct load *load, unsigned items, size_t reads, size_t writes, const char *when)
{
  struct progress progress = expect_progress(load, items, reads, writes);
  wait_until(have_all_come_so_far, &progress, text("%zu reads and %zu writes of each item %s", reads, writes, when));
}

void load_await_any(struct load *load, size_t reads, size_t writes, const char *when)
{
  struct progress progress = expect_progress(load, LOAD_ALL_ITEMS, reads, writes);
  wait_until(has_any_come_so_far, &progress, text("%zu reads and %zu writes of an item %s", reads, writes, when));
}

bool load_is_linearizable(const struct load *load, struct strbuf *why)
{
  return history_is_linearizable(&load->history, why);
}

void load_assert_right(const struct load *load)
{
  struct strbuf why;
  strbuf_init(&why, 0);
  bool right = load_is_linearizable(load, &why);
  const char *report = text("%s", strbuf_cstring(&why));
  strbuf_free(&why);
  cr_assert(right, "what clients saw contradicts itself: %s", report);
  const char *unexpected = atomic_load(&load->unexpected);
  cr_assert_null(unexpected, "%s", unexpected);
}
