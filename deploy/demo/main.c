// The program of `make demo`: loads Debian's package index into the item service through the public REST API, then
// makes some searches.
//
//   demo URL E-MAIL INDEX-FILE        the password comes by DEMO_PASSWORD
//
// Behaves as a client of the API should: a few connections, batches, waits where it is told to (429, 503), repeats what
// may have been lost (a batch is all or nothing, so a repeated one is either created or refused as there already).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/jsontext_reader.h"
#include "common/base/strmap.h"
#include "deploy/demo/api.h"
#include "deploy/demo/package_index.h"

#define BATCH_SIZE 500
#define CONNECTIONS 4
#define MAX_ATTEMPTS 100

struct batch {
  struct exchange exchange;
  size_t items;  // 0: idle
  int attempts;
  double not_before;  // when to send it (again)
  bool under_way;
};

struct import {
  struct session *session;
  struct package_index index;
  struct strmap there;  // skus that the service has
  struct arena skus;
  CURLM *multi;
  struct batch batches[CONNECTIONS];
  size_t next;  // package to send
  size_t to_send;
  size_t done;
  double started;
  bool failed;
};

// ---- progress ----

static void show_progress(const struct import *import, bool last)
{
  static double shown;
  bool terminal = isatty(STDERR_FILENO);
  double now = now_seconds();
  if (!last && now - shown < (terminal ? 0.1 : 2.0))
    return;
  shown = now;
  double rate = (double)import->done / (now - import->started + 1e-9);
  if (!terminal) {
    fprintf(stderr, "  %zu of %zu items, %.0f/s\n", import->done, import->to_send, rate);
    return;
  }
  char bar[41];
  size_t filled = import->to_send == 0 ? 40 : import->done * 40 / import->to_send;
  memset(bar, '-', 40);
  memset(bar, '#', filled);
  bar[40] = '\0';
  fprintf(stderr, "\r  [%s] %zu of %zu items, %.0f/s %s", bar, import->done, import->to_send, rate, last ? "\n" : "");
}

// ---- what is there already ----

static void note_skus(struct import *import, struct slice reply, struct strbuf *token)
{
  struct arena scratch;
  struct jsontext_reader reader;
  arena_init(&scratch);
  jsontext_reader_init(&reader, reply, JSONTEXT_MAX_DEPTH, &scratch);
  unsigned item_depth = 3;  // object, items, item
  for (enum jsontext_token last = jsontext_read(&reader); last != JSONTEXT_END && last != JSONTEXT_ERROR;
       last = jsontext_read(&reader)) {
    if (last != JSONTEXT_KEY || reader.depth != item_depth || !slice_equal_string(reader.text, "sku"))
      continue;
    if (jsontext_read(&reader) == JSONTEXT_STRING)
      (void)strmap_add(&import->there, arena_copy(&import->skus, reader.text), import);
  }
  json_member(reply, "nextPageToken", token);
  arena_free(&scratch);
}

// Reads the account's items page by page, so that a repeated run sends only what is missing.
static bool read_what_is_there(struct import *import)
{
  struct exchange exchange;
  struct strbuf path, token;
  exchange_init(&exchange);
  strbuf_init(&path, 0);
  strbuf_init(&token, 0);
  do {
    strbuf_clear(&path);
    strbuf_printf(&path, "/v1/items?pageSize=200&ownerId=%s", strbuf_cstring(&import->session->user_id));
    if (token.size > 0)
      strbuf_printf(&path, "&pageToken=%s", strbuf_cstring(&token));
    exchange_run(&exchange, import->session, strbuf_cstring(&path));
    if (exchange.status != 200) {
      fprintf(stderr, "listing the items failed: HTTP %ld\n", exchange.status);
      break;
    }
    note_skus(import, strbuf_slice(&exchange.reply), &token);
  } while (token.size > 0);
  bool good = exchange.status == 200;
  exchange_free(&exchange);
  strbuf_free(&path);
  strbuf_free(&token);
  return good;
}

// ---- sending ----

static void fill(struct import *import, struct batch *batch)
{
  struct strbuf *body = &batch->exchange.request;
  strbuf_clear(body);
  batch->items = 0;
  batch->attempts = 0;
  batch->not_before = 0;
  strbuf_add_string(body, "{\"items\":[");
  while (import->next < import->index.count && batch->items < BATCH_SIZE) {
    const struct package *package = &import->index.packages[import->next++];
    if (strmap_get(&import->there, package->name) != NULL)
      continue;
    if (batch->items++ > 0)
      strbuf_add_byte(body, ',');
    package_write_item(package, body);
  }
  strbuf_add_string(body, "]}");
}

static void send_batch(struct import *import, struct batch *batch)
{
  batch->attempts++;
  batch->under_way = true;
  exchange_prepare(&batch->exchange, import->session, "/v1/items:batchCreate");
  curl_multi_add_handle(import->multi, batch->exchange.curl);
}

// Handles the end of a batch: its answer, or the loss of its connection.
static void settle(struct import *import, struct batch *batch, CURLcode code)
{
  struct exchange *exchange = &batch->exchange;
  batch->under_way = false;
  exchange_finish(exchange, code);
  bool repeated_and_there = exchange->status == 409 && batch->attempts > 1;
  if (exchange->status == 200 || repeated_and_there) {
    import->done += batch->items;
    batch->items = 0;
    return;
  }
  // 0: no answer; it may have been created, and then the repetition is refused as there already.
  bool again = exchange->status == 429 || exchange->status == 503 || exchange->status == 504 || exchange->status == 0;
  if (!again || batch->attempts >= MAX_ATTEMPTS) {
    fprintf(stderr, "\na batch was refused: HTTP %ld %.*s\n", exchange->status, (int)exchange->reply.size,
            exchange->reply.size > 0 ? exchange->reply.data : "");
    import->failed = true;
    return;
  }
  if (exchange->status != 0)
    exchange_tell_wait(exchange);
  batch->not_before = now_seconds() + (exchange->retry_after > 0 ? (double)exchange->retry_after : 0.5);
}

static size_t start_what_is_ready(struct import *import)
{
  size_t busy = 0;
  for (size_t i = 0; i < CONNECTIONS; i++) {
    struct batch *batch = &import->batches[i];
    if (batch->items == 0 && !import->failed)
      fill(import, batch);
    if (batch->items > 0 && !batch->under_way && !import->failed && now_seconds() >= batch->not_before)
      send_batch(import, batch);
    busy += batch->items > 0 && !import->failed;
  }
  return busy;
}

static void take_answers(struct import *import)
{
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(import->multi, &left)) != NULL) {
    char *owner = NULL;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
    CURLcode code = message->data.result;
    curl_multi_remove_handle(import->multi, message->easy_handle);
    settle(import, CONTAINER_OF(owner, struct batch, exchange), code);
  }
}

static bool send_all(struct import *import)
{
  import->multi = curl_multi_init();
  for (size_t i = 0; i < CONNECTIONS; i++)
    exchange_init(&import->batches[i].exchange);
  import->started = now_seconds();
  while (start_what_is_ready(import) > 0) {
    int running;
    curl_multi_perform(import->multi, &running);
    take_answers(import);
    curl_multi_poll(import->multi, NULL, 0, 50, NULL);
    import->failed = import->failed || !session_keep_fresh(import->session);
    show_progress(import, false);
  }
  show_progress(import, true);
  for (size_t i = 0; i < CONNECTIONS; i++) {
    if (import->batches[i].under_way)
      curl_multi_remove_handle(import->multi, import->batches[i].exchange.curl);
    exchange_free(&import->batches[i].exchange);
  }
  curl_multi_cleanup(import->multi);
  return !import->failed;
}

// ---- searches ----

static void print_names(struct slice reply)
{
  struct arena scratch;
  struct jsontext_reader reader;
  arena_init(&scratch);
  jsontext_reader_init(&reader, reply, JSONTEXT_MAX_DEPTH, &scratch);
  for (enum jsontext_token last = jsontext_read(&reader); last != JSONTEXT_END && last != JSONTEXT_ERROR;
       last = jsontext_read(&reader))
    if (last == JSONTEXT_KEY && reader.depth == 3 && slice_equal_string(reader.text, "name") &&
        jsontext_read(&reader) == JSONTEXT_STRING)
      printf(" " SLICE_FMT, SLICE_ARG(reader.text));
  arena_free(&scratch);
}

static void show_searches(const struct session *session)
{
  static const char *const SEARCHES[] = {
      "q=web+server&pageSize=5",
      "q=%22message+queue%22+-python&pageSize=5",
      "tag=implemented-in::c&category=database&orderBy=name&pageSize=5",
      "category=games&orderBy=quantity+desc&pageSize=5",
  };
  struct exchange exchange;
  struct strbuf path;
  exchange_init(&exchange);
  strbuf_init(&path, 0);
  for (size_t i = 0; i < ARRAY_LEN(SEARCHES); i++) {
    strbuf_clear(&path);
    strbuf_printf(&path, "/v1/items?%s", SEARCHES[i]);
    exchange_run(&exchange, session, strbuf_cstring(&path));
    printf("GET %s\n  HTTP %ld in %.1f ms:", strbuf_cstring(&path), exchange.status, exchange.seconds * 1000);
    print_names(strbuf_slice(&exchange.reply));
    printf("\n");
  }
  exchange_free(&exchange);
  strbuf_free(&path);
}

// ---- all of it ----

static bool read_file(const char *path, struct strbuf *out)
{
  bool done = strbuf_read_file(out, path);
  if (!done)
    perror(path);
  return done;
}

static size_t count_missing(const struct import *import)
{
  size_t missing = 0;
  for (size_t i = 0; i < import->index.count; i++)
    missing += strmap_get(&import->there, import->index.packages[i].name) == NULL;
  return missing;
}

static bool run(struct import *import, struct slice text)
{
  package_index_read(text, &import->index);
  if (!session_open(import->session) || !read_what_is_there(import))
    return false;
  import->to_send = count_missing(import);
  printf("%zu packages, %zu of them not there yet\n", import->index.count, import->to_send);
  if (import->to_send > 0) {
    if (!send_all(import))
      return false;
    double seconds = now_seconds() - import->started;
    printf("%zu items in %.1f s: %.0f items/s\n", import->done, seconds, (double)import->done / seconds);
  }
  show_searches(import->session);
  return true;
}

int main(int argc, char **argv)
{
  const char *password = getenv("DEMO_PASSWORD");
  if (argc != 4 || password == NULL) {
    fprintf(stderr, "usage: DEMO_PASSWORD=... demo URL E-MAIL INDEX-FILE\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct session session = {.url = argv[1], .email = argv[2], .password = password};
  struct import import = {.session = &session};
  struct strbuf text;
  strbuf_init(&text, 0);
  bool good = read_file(argv[3], &text) && run(&import, strbuf_slice(&text));
  package_index_free(&import.index);
  strmap_free(&import.there);
  arena_free(&import.skus);
  strbuf_free(&text);
  strbuf_free(&session.access_token);
  strbuf_free(&session.refresh_token);
  strbuf_free(&session.user_id);
  curl_global_cleanup();
  return good ? 0 : 1;
}
