// Floods of connections and bodies from few addresses, and clients that are slow on purpose: a bystander does not
// notice them, and what is slow is closed within 10 s.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/strbuf.h"
#include "tests/fault/flood.h"
#include "tests/fault/http2_attack.h"
#include "tests/support/bystander.h"
#include "tests/support/environment.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"

// What is slow is closed within 10 s, which the tests print; a busy machine may need more. nginx itself waits a minute.
#define SLOW_IS_CLOSED_MS 30000
#define WATCHED_REQUESTS 1000

#define HOST "Host: localhost\r\n"
#define LOGIN "POST /v1/auth/login HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"

static const struct flood_kind idle = {.first = NULL};
// The head never ends.
static const struct flood_kind slow_headers = {.first = "GET /v1/items HTTP/1.1\r\n" HOST, .drip = "X-Slow: a\r\n"};
static const struct flood_kind trickled_logins = {.first = LOGIN "Content-Length: 8000\r\n\r\n{", .drip = " "};
static const struct flood_kind slow_readers = {
    .first = "GET /docs/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\n" HOST "\r\n", .read_bytes = 100};
static const struct flood_kind bundle_fetches = {.first = "GET /docs/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\n" HOST
                                                          "Accept-Encoding: gzip\r\n"
                                                          "Connection: close\r\n\r\n",
                                                 .reads_all = true};

// Uploads of 4 MiB each that stop after their first bytes.
static struct flood_kind make_stalled_uploads(const struct account *account)
{
  return (struct flood_kind){.first = text("POST /v1/items:batchCreate HTTP/1.1\r\n" HOST
                                           "Content-Type: application/json\r\nAuthorization: Bearer %s\r\n"
                                           "Content-Length: 4194304\r\n\r\n{",
                                           account->token)};
}

static struct flood_kind from_address(struct flood_kind kind, const char *from)
{
  kind.from = from;
  return kind;
}

// Returns the resident memory of the gateway's workers.
static size_t measure_workers_kb(void)
{
  const char *script =
      text("pid=$(cut -d' ' -f1 '%s/pids/gateway'); for worker in $(cat /proc/$pid/task/$pid/children); "
           "do sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$worker/status; done",
           need_variable("BULKHEAD_RUN_DIR"));
  const char *numbers = output_of((const char *const[]){"sh", "-c", script, NULL});
  size_t sum = 0;
  for (char *end = NULL; *numbers != '\0'; numbers = *end == '\0' ? end : end + 1)
    sum += strtoul(numbers, &end, 10);
  cr_assert_gt(sum, 0, "the gateway has no workers");
  return sum;
}

// A batch that does not fit into the gateway's buffers in memory.
static void create_batch(const struct account *account)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"items\":[");
  for (int i = 0; i < 100; i++)
    strbuf_add_string(&body, text("%s{\"sku\":\"%s\",\"name\":\"Batched\",\"description\":\"%05000d\"}",
                                  i == 0 ? "" : ",", fresh_word(), i));
  strbuf_add_string(&body, "]}");
  struct http_reply reply =
      HTTP(.path = "/v1/items:batchCreate", .token = account->token, .body = strbuf_cstring(&body));
  strbuf_free(&body);
  ASSERT_STATUS(reply, 200);
}

// Attacks until the bystander has made its requests.
static void attack(const struct flood_kind *kind, size_t connections, size_t addresses, const char *name)
{
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(kind, connections, addresses);
  flood_await_attempts(flood, connections);
  bystander_await(bystander, WATCHED_REQUESTS);
  (void)bystander_assert_unharmed(&bystander, name);
  flood_stop(&flood);
}

// ---- each alone ----

Test(fault_10_floods, connections_with_slow_headers_leave_others_alone)
{
  attack(&slow_headers, 4600, 1, "4,600 slow headers from one address");
}

Test(fault_10_floods, ten_thousand_connections_with_slow_headers_leave_others_alone)
{
  attack(&slow_headers, 10000, 4, "10,000 slow headers from four addresses");
}

Test(fault_10_floods, ten_thousand_idle_connections_leave_others_alone)
{
  attack(&idle, 10000, 4, "10,000 idle connections from four addresses");
}

Test(fault_10_floods, trickled_logins_leave_others_and_the_memory_alone)
{
  size_t before_kb = measure_workers_kb();
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(&trickled_logins, 400, 1);
  flood_await_attempts(flood, 400);
  bystander_await(bystander, 500);
  size_t grown_kb = measure_workers_kb() - before_kb;
  bystander_await(bystander, WATCHED_REQUESTS - 500);
  (void)bystander_assert_unharmed(&bystander, "400 trickled logins");
  flood_stop(&flood);
  cr_assert_lt((ssize_t)grown_kb, 40 * 1024, "the workers have grown by %zu KB", grown_kb);
}

Test(fault_10_floods, stalled_uploads_leave_room_for_others)
{
  struct account ada = account_create();
  struct flood_kind stalled_uploads = make_stalled_uploads(&ada);
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(&stalled_uploads, 100, 4);
  flood_await_attempts(flood, 100);
  for (int i = 0; i < 20; i++)
    create_batch(&ada);
  bystander_await(bystander, WATCHED_REQUESTS);
  (void)bystander_assert_unharmed(&bystander, "100 stalled uploads from four addresses");
  flood_stop(&flood);
}

Test(fault_10_floods, slow_readers_leave_others_alone)
{
  attack(&slow_readers, 1000, 1, "1,000 slow readers");
}

Test(fault_10_floods, fetches_of_a_large_file_leave_others_alone)
{
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(&bundle_fetches, 200, 1);
  flood_await_closed(flood, 1000);
  bystander_await(bystander, WATCHED_REQUESTS / 3);
  (void)bystander_assert_unharmed(&bystander, "1,000 fetches of the API page's script, compressed");
  flood_stop(&flood);
}

// ---- all together ----

enum { GUESSERS = 60, HTTP2_ATTACKERS = 1, SIEGE_REQUESTS = 200, GUESS_PAUSE_US = 200000 };

// A client that tries to log in to accounts that do not exist, again and again.
struct guesser {
  struct background *thread;
  atomic_bool *stop;
  atomic_size_t *answers;
};

static void guess_passwords(void *arg)
{
  struct guesser *guesser = arg;
  background_let_others_first();
  while (!atomic_load(guesser->stop)) {
    struct http_reply reply = HTTP(.path = "/v1/auth/login", .from = "127.0.0.31", .timeout_ms = 30000,
                                   .body = text("{\"email\":\"%s\",\"password\":\"a wrong one\"}", fresh_email()));
    if (reply.status == 401 || reply.status == 429)
      atomic_fetch_add(guesser->answers, 1);
    usleep(GUESS_PAUSE_US);
  }
}

// All that attacks at once: connections and logins at the stack's gateway, HTTP/2 at one with TLS.
struct siege {
  struct flood_kind kinds[6];
  struct flood *floods[6];
  struct http2_attack_kind http2_kinds[3];
  struct http2_attack *http2_attacks[3];
  struct strbuf headers;
  struct guesser guessers[GUESSERS];
  atomic_bool stop;
  atomic_size_t guesses;
};

static void start_floods(struct siege *siege, const struct account *account)
{
  static const size_t connections[ARRAY_LEN(siege->kinds)] = {4000, 4000, 400, 33, 400, 100};
  const struct flood_kind kinds[] = {idle,         slow_headers,  trickled_logins, make_stalled_uploads(account),
                                     slow_readers, bundle_fetches};
  for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
    siege->kinds[i] = from_address(kinds[i], text("127.0.0.%zu", i + 2));
    siege->floods[i] = flood_start(&siege->kinds[i], connections[i], 1);
  }
  for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
    flood_await_attempts(siege->floods[i], connections[i]);
}

static void start_http2_attacks(struct siege *siege, const struct account *account, const char *https_url)
{
  const struct http2_attack_kind kinds[] = {
      {.name = "rapid reset", .go_on = http2_ask_and_reset, .reads = true, .arg = &siege->headers},
      {.name = "settings whose answers nobody reads", .go_on = http2_add_settings},
      {.name = "pings", .go_on = http2_add_pings, .reads = true},
  };
  strbuf_init(&siege->headers, 0);
  http2_add_headers(&siege->headers, "GET", "/v1/users/me", account->token);
  for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
    siege->http2_kinds[i] = kinds[i];
    siege->http2_attacks[i] = http2_attack_start(https_url, &siege->http2_kinds[i], HTTP2_ATTACKERS);
  }
}

static void start_guessers(struct siege *siege)
{
  for (size_t i = 0; i < GUESSERS; i++) {
    siege->guessers[i] = (struct guesser){.stop = &siege->stop, .answers = &siege->guesses};
    siege->guessers[i].thread = background_start(guess_passwords, &siege->guessers[i]);
  }
}

// Ends all, and asserts that each of them has attacked.
static void end_siege(struct siege *siege)
{
  atomic_store(&siege->stop, true);
  for (size_t i = 0; i < ARRAY_LEN(siege->http2_attacks); i++)
    cr_expect_gt(http2_attack_stop(&siege->http2_attacks[i]).closed, 0, "%s", siege->http2_kinds[i].name);
  for (size_t i = 0; i < GUESSERS; i++)
    background_join(siege->guessers[i].thread);
  for (size_t i = 0; i < ARRAY_LEN(siege->floods); i++)
    flood_stop(&siege->floods[i]);
  cr_expect_gt(atomic_load(&siege->guesses), 0, "no login was answered");
  strbuf_free(&siege->headers);
}

// Starts a gateway that speaks HTTPS and logs no request; what BULKHEAD_URL names stays.
static struct gateway_place start_gateway_with_tls(void)
{
  setenv("TLS", "1", 1);
  setenv("GATEWAY_ACCESS_LOG", "off", 1);
  setenv("BULKHEAD_CA", text("%s/tls/ca.pem", need_variable("BULKHEAD_RUN_DIR")), 1);
  return gateway_start("gateway-43");
}

Test(fault_10_floods, all_attacks_together_leave_others_alone)
{
  static struct siege siege;
  struct gateway_place gateway = start_gateway_with_tls();
  struct account ada = account_create();
  struct bystander *at_plain = bystander_start(&ada);
  struct bystander *at_tls = bystander_start_at(&ada, gateway.https_url);
  bystander_attacked(at_plain);
  bystander_attacked(at_tls);
  start_floods(&siege, &ada);
  start_http2_attacks(&siege, &ada, gateway.https_url);
  start_guessers(&siege);
  create_batch(&ada);
  bystander_await(at_plain, SIEGE_REQUESTS);
  bystander_await(at_tls, SIEGE_REQUESTS);
  (void)bystander_assert_unharmed(&at_plain, "all attacks together, over HTTP");
  (void)bystander_assert_unharmed(&at_tls, "all attacks together, over HTTPS");
  end_siege(&siege);
  gateway_stop(&gateway);
}

// ---- what is slow is closed ----

static void assert_closed(struct flood **flood, const char *name)
{
  flood_await_closed(*flood, 1);
  size_t life_ms = flood_count(*flood).longest_ms;
  flood_stop(flood);
  fprintf(stderr, "%s: closed after %.1f s\n", name, (double)life_ms / 1000);
  cr_assert_lt(life_ms, SLOW_IS_CLOSED_MS, "%s: closed after %zu ms", name, life_ms);
}

Test(fault_10_floods, what_is_slow_is_closed)
{
  struct account ada = account_create();
  struct flood_kind stalled_uploads = make_stalled_uploads(&ada);
  const struct {
    const struct flood_kind *kind;
    const char *name;
  } cases[] = {
      {&idle, "a connection that sends nothing"},      {&slow_headers, "a head that never ends"},
      {&trickled_logins, "a body that trickles in"},   {&stalled_uploads, "an upload that stalls"},
      {&slow_readers, "a reply that is read in sips"},
  };
  struct flood *floods[ARRAY_LEN(cases)];
  for (size_t i = 0; i < ARRAY_LEN(cases); i++)
    floods[i] = flood_start(cases[i].kind, 1, 1);
  for (size_t i = 0; i < ARRAY_LEN(cases); i++)
    assert_closed(&floods[i], cases[i].name);
}

// ---- the same over HTTP/2 ----

enum { FRAME_HEAD_SIZE = 9, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FLAG_END_STREAM = 1 };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define NO_SETTINGS "\0\0\0\4\0\0\0\0\0"
// SETTINGS_INITIAL_WINDOW_SIZE 0: the client takes nothing of a reply's body.
#define NO_WINDOW "\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0"
// HEADERS of stream 1, END_HEADERS, in HPACK without Huffman's code.
#define BUNDLE_HEAD                                                                                                    \
  "\0\0\x32\1\5\0\0\0\1\x82\x87\4\x25/docs/swagger-ui/swagger-ui-bundle.js\1\x07"                                      \
  "a.local"
#define LOGIN_HEAD                                                                                                     \
  "\0\0\x32\1\4\0\0\0\1\x83\x87\4\x0e/v1/auth/login\1\7a.local\x0f\x10\x10"                                            \
  "application/json\x0f\x0d\1"                                                                                         \
  "9"

static bool ends_stream(const unsigned char *head)
{
  return head[8] == 1 && (head[3] == FRAME_RST_STREAM || (head[4] & FLAG_END_STREAM) != 0);
}

static void read_exactly(struct raw *raw, unsigned char *bytes, size_t size)
{
  for (size_t got = 0; got < size;) {
    size_t more = raw_read(raw, bytes + got, size - got);
    cr_assert_gt(more, 0, "the connection ended before the stream");
    got += more;
  }
}

struct slow_stream {
  const char *name;
  struct raw *raw;
  uint64_t begun_us;
};

static struct slow_stream begin_stream(const char *url, const void *bytes, size_t size, const char *name)
{
  struct slow_stream stream = {.name = name, .raw = RAW(.url = url, .alpn = "h2"), .begun_us = clock_now_us()};
  cr_assert(raw_send(stream.raw, bytes, size));
  return stream;
}

static void assert_stream_ends(struct slow_stream *stream)
{
  static unsigned char payload[1 << 14];
  unsigned char frame[FRAME_HEAD_SIZE] = {0};
  while (!ends_stream(frame)) {
    read_exactly(stream->raw, frame, sizeof(frame));
    size_t payload_size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    cr_assert_leq(payload_size, sizeof(payload));
    read_exactly(stream->raw, payload, payload_size);
  }
  uint64_t life_ms = (clock_now_us() - stream->begun_us) / 1000;
  raw_close(&stream->raw);
  fprintf(stderr, "%s: ended after %.1f s\n", stream->name, (double)life_ms / 1000);
  cr_assert_lt(life_ms, SLOW_IS_CLOSED_MS, "%s: ended after %zu ms", stream->name, (size_t)life_ms);
}

Test(fault_10_floods, what_is_slow_over_http2_is_ended)
{
  struct gateway_place place = gateway_start_https("gateway-40");
  static const char no_window[] = PREFACE NO_WINDOW BUNDLE_HEAD;
  static const char no_body[] = PREFACE NO_SETTINGS LOGIN_HEAD;
  struct slow_stream streams[] = {
      begin_stream(place.https_url, no_window, sizeof(no_window) - 1, "a reply without a window"),
      begin_stream(place.https_url, no_body, sizeof(no_body) - 1, "a body that does not come"),
  };
  for (size_t i = 0; i < ARRAY_LEN(streams); i++)
    assert_stream_ends(&streams[i]);
  gateway_stop(&place);
}
