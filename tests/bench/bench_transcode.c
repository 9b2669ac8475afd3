// How much CPU time the gateway's translation takes, on its own: routing and transcoding of one read, one reply, one
// batch.
//   BULKHEAD_PROTOSET=build/release/bulkhead.protoset build/release/bin/bench_transcode
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/transcode/transcode.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define BATCH_ITEMS 1000
#define MIN_RUN_US 300000

static const struct contract *load_contract(void)
{
  const char *path = getenv("BULKHEAD_PROTOSET");
  struct strbuf content;
  struct contract *contract;
  struct diagnostics diagnostics;
  strbuf_init(&content, 0);
  if (path == NULL || !strbuf_read_file(&content, path)) {
    fputs("BULKHEAD_PROTOSET must name bulkhead.protoset\n", stderr);
    exit(1);
  }
  diagnostics_init(&diagnostics);
  CHECK(contract_load(strbuf_slice(&content), &contract, &diagnostics) == STATUS_OK);
  diagnostics_free(&diagnostics);
  strbuf_free(&content);
  return contract;
}

// One measurement; everything in it is set up before the clock starts.
struct subject {
  const char *name;
  const struct contract *contract;
  struct slice http_method;
  struct slice path;
  struct slice query;
  struct slice input;  // a body, or a reply's wire bytes
  struct arena arena;
  struct strbuf out;
};

static void run_route(struct subject *subject)
{
  struct contract_route route;
  CHECK(contract_route(subject->contract, subject->http_method, subject->path, &route, NULL) == STATUS_OK);
}

static void run_request(struct subject *subject)
{
  struct contract_route route;
  struct violations violations;
  CHECK(contract_route(subject->contract, subject->http_method, subject->path, &route, NULL) == STATUS_OK);
  struct transcode_request request = {.route = &route, .query = subject->query, .body = subject->input};
  violations_init(&violations, &subject->arena);
  strbuf_clear(&subject->out);
  CHECK(transcode_request_to_wire(&request, &subject->arena, &subject->out, &violations) == STATUS_OK);
  arena_reset(&subject->arena);
}

static void run_reply(struct subject *subject)
{
  const struct contract_message *item = contract_message_by_name(subject->contract, SLICE("item.v1.Item"));
  strbuf_clear(&subject->out);
  CHECK(transcode_wire_to_json(item, subject->input, &subject->out) == STATUS_OK);
}

static void run_list_reply(struct subject *subject)
{
  const struct contract_message *list =
      contract_message_by_name(subject->contract, SLICE("item.v1.BatchCreateItemsResponse"));
  strbuf_clear(&subject->out);
  CHECK(transcode_wire_to_json(list, subject->input, &subject->out) == STATUS_OK);
}

// Reads the CPU time of this process, so that whatever else runs on the machine counts less.
static uint64_t cpu_us(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void measure(struct subject *subject, void (*run)(struct subject *subject))
{
  uint64_t rounds = 1;
  uint64_t spent;
  for (;; rounds *= 2) {
    uint64_t start = cpu_us();
    for (uint64_t i = 0; i < rounds; i++)
      run(subject);
    spent = cpu_us() - start;
    if (spent >= MIN_RUN_US)
      break;
  }
  double each_ns = (double)spent * 1000.0 / (double)rounds;
  size_t bytes = subject->input.size;
  printf("%-28s %12.0f ns %8zu bytes in %8zu out", subject->name, each_ns, bytes, subject->out.size);
  if (bytes > 0)
    printf(" %8.0f MB/s", (double)bytes * 1000.0 / each_ns);
  printf("\n");
  strbuf_free(&subject->out);
  arena_free(&subject->arena);
}

// Makes a text of so many characters, in words.
static struct slice make_text(size_t size)
{
  static const char WORDS[] = "a lamp of brass with a green shade, for desks and reading corners; ";
  struct strbuf text;
  strbuf_init(&text, 0);
  while (text.size < size)
    strbuf_add_byte(&text, WORDS[text.size % (sizeof(WORDS) - 1)]);
  return strbuf_slice(&text);
}

static struct slice make_item(struct slice description)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, SLICE(ID));
  wire_write_bytes(&wire, 2, SLICE(ID));
  wire_write_bytes(&wire, 3, SLICE("LAMP-042"));
  wire_write_bytes(&wire, 4, SLICE("Desk lamp"));
  wire_write_bytes(&wire, 5, description);
  wire_write_bytes(&wire, 6, SLICE("lighting"));
  wire_write_bytes(&wire, 7, SLICE("brass"));
  wire_write_bytes(&wire, 7, SLICE("green"));
  wire_write_bytes(&wire, 8, SLICE("49.90"));
  wire_write_bytes(&wire, 9, SLICE("EUR"));
  wire_write_varint(&wire, 10, 12);
  wire_write_bytes(&wire, 11, SLICE("{\"colour\": \"brass\", \"watts\": 40}"));
  wire_write_bytes(&wire, 12, SLICE("0000000000000001"));
  wire_write_bytes(&wire, 13, SLICE("\x08\x80\xe2\xcf\xaa\x06\x10\xc0\x96\xb1\x02"));
  wire_write_bytes(&wire, 14, SLICE("\x08\x80\xe2\xcf\xaa\x06\x10\xc0\x96\xb1\x02"));
  return strbuf_slice(&wire);
}

static struct slice make_list(struct slice item, unsigned count)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  for (unsigned i = 0; i < count; i++)
    wire_write_bytes(&wire, 1, item);
  return strbuf_slice(&wire);
}

static struct slice make_batch(void)
{
  struct strbuf json;
  strbuf_init(&json, 0);
  strbuf_add_string(&json, "{\"items\":[");
  for (unsigned i = 0; i < BATCH_ITEMS; i++)
    strbuf_printf(&json,
                  "%s{\"sku\":\"PKG-%u\",\"name\":\"libexample%u\",\"description\":\"An example library, with a text "
                  "of the usual length that packages have.\\n It has a second line.\",\"category\":\"libs\",\"tags\":"
                  "[\"role::shared-lib\",\"implemented-in::c\"],\"price\":\"12.50\",\"currency\":\"EUR\",\"quantity\":"
                  "%u,\"attributes\":{\"version\":\"1.2.3-4\",\"depends\":[\"libc6\",\"zlib1g\"]}}",
                  i == 0 ? "" : ",", i, i, i);
  strbuf_add_string(&json, "]}");
  return strbuf_slice(&json);
}

// Makes the JSON of one item to create.
static struct slice make_body(struct slice description)
{
  struct strbuf json;
  strbuf_init(&json, 0);
  strbuf_printf(&json,
                "{\"sku\":\"LAMP-042\",\"name\":\"Desk lamp\",\"description\":\"" SLICE_FMT
                "\",\"category\":\"lighting\",\"tags\":[\"brass\",\"green\",\"desk\",\"reading\"],\"price\":\"49.90\","
                "\"currency\":\"EUR\",\"quantity\":12,\"attributes\":{\"colour\":\"brass\",\"watts\":40}}",
                SLICE_ARG(description));
  return strbuf_slice(&json);
}

int main(void)
{
  const struct contract *contract = load_contract();
  struct slice item = make_item(make_text(66));
  struct slice list = make_list(item, 100);
  struct slice large_item = make_item(make_text(810));
  struct slice large_list = make_list(large_item, 1000);
  struct slice large_body = make_body(make_text(790));
  struct slice batch = make_batch();
  struct subject route = {
      .name = "route GET item", .contract = contract, .http_method = SLICE("GET"), .path = SLICE("/v1/items/" ID)};
  struct subject get = route;
  get.name = "request GET item";
  struct subject page = {.name = "request GET items",
                         .contract = contract,
                         .http_method = SLICE("GET"),
                         .path = SLICE("/v1/items"),
                         .query = SLICE("pageSize=20&category=lighting&orderBy=name%20desc&q=green+lamp")};
  struct subject import = {.name = "request POST 1,000 items",
                           .contract = contract,
                           .http_method = SLICE("POST"),
                           .path = SLICE("/v1/items:batchCreate"),
                           .input = batch};
  struct subject reply = {.name = "reply item", .contract = contract, .input = item};
  struct subject replies = {.name = "reply 100 items", .contract = contract, .input = list};
  struct subject create = {.name = "request POST item of 1 KB",
                           .contract = contract,
                           .http_method = SLICE("POST"),
                           .path = SLICE("/v1/items"),
                           .input = large_body};
  struct subject large_reply = {.name = "reply item of 1 KB", .contract = contract, .input = large_item};
  struct subject large_replies = {.name = "reply 1,000 items of 1 KB", .contract = contract, .input = large_list};
  measure(&route, run_route);
  measure(&get, run_request);
  measure(&page, run_request);
  measure(&import, run_request);
  measure(&reply, run_reply);
  measure(&replies, run_list_reply);
  measure(&create, run_request);
  measure(&large_reply, run_reply);
  measure(&large_replies, run_list_reply);
  return 0;
}
