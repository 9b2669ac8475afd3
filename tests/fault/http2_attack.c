#include "tests/fault/http2_attack.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/compiler.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stack.h"

enum { MAX_ATTACKERS = 64, PARTS_AT_ONCE = 256 };

struct attacker {
  struct http2_attack *attack;
  struct background *background;
  const char *address;
  int error;  // the last errno of a connection that could not be made or stayed silent; 0: none
};

struct http2_attack {
  const char *url;
  const struct http2_attack_kind *kind;
  struct attacker attackers[MAX_ATTACKERS];
  size_t count;
  atomic_bool stop;
  atomic_size_t connections, closed, bytes;
};

// ---- frames ----

static void add_byte(struct strbuf *out, size_t byte)
{
  char text = (char)(byte & 0xff);
  strbuf_add(out, slice_make(&text, 1));
}

void http2_add_frame(struct strbuf *out, enum http2_frame type, unsigned flags, uint32_t stream, struct slice payload)
{
  add_byte(out, payload.size >> 16);
  add_byte(out, payload.size >> 8);
  add_byte(out, payload.size);
  add_byte(out, type);
  add_byte(out, flags);
  add_byte(out, stream >> 24);
  add_byte(out, stream >> 16);
  add_byte(out, stream >> 8);
  add_byte(out, stream);
  strbuf_add(out, payload);
}

// Appends a text as HPACK has it: its length with 7 bits in the first byte, no Huffman code.
static void add_text(struct strbuf *block, struct slice value)
{
  if (value.size < 127) {
    add_byte(block, value.size);
  } else {
    add_byte(block, 127);
    size_t rest = value.size - 127;
    for (; rest >= 128; rest >>= 7)
      add_byte(block, rest | 128);
    add_byte(block, rest);
  }
  strbuf_add(block, value);
}

static void add_header(struct strbuf *block, const char *name, const char *value)
{
  add_byte(block, 0);  // a literal that no table keeps, with its name
  add_text(block, slice_from_string(name));
  add_text(block, slice_from_string(value));
}

void http2_add_headers(struct strbuf *block, const char *method, const char *path, const char *token)
{
  add_header(block, ":method", method);
  add_header(block, ":scheme", "https");
  add_header(block, ":authority", "localhost");
  add_header(block, ":path", path);
  if (token != NULL)
    add_header(block, "authorization", text("Bearer %s", token));
}

// ---- parts of an attack ----

void http2_repeat_frame(struct strbuf *out, enum http2_frame type, uint32_t stream, struct slice payload)
{
  for (int i = 0; i < PARTS_AT_ONCE; i++)
    http2_add_frame(out, type, 0, stream, payload);
}

static void reset_requests(struct strbuf *out, const struct strbuf *headers, struct slice body, uint32_t round)
{
  for (uint32_t i = 0; i < PARTS_AT_ONCE / 4; i++) {
    uint32_t stream = 2 * (round * (PARTS_AT_ONCE / 4) + i) + 1;
    unsigned end = body.size == 0 ? HTTP2_END_STREAM : 0;
    http2_add_frame(out, HTTP2_HEADERS, HTTP2_END_HEADERS | end, stream, strbuf_slice(headers));
    if (body.size != 0)
      http2_add_frame(out, HTTP2_DATA, HTTP2_END_STREAM, stream, body);
    http2_add_frame(out, HTTP2_RST_STREAM, 0, stream, SLICE("\0\0\0\10"));
  }
}

void http2_ask_and_reset(struct strbuf *out, const void *arg, uint32_t round)
{
  reset_requests(out, arg, (struct slice){0}, round);
}

void http2_upload_and_reset(struct strbuf *out, const void *arg, uint32_t round)
{
  static const char body[300] = "{";
  reset_requests(out, arg, slice_make(body, sizeof(body)), round);
}

void http2_add_settings(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  (void)round;
  http2_repeat_frame(out, HTTP2_SETTINGS, 0, (struct slice){0});
}

void http2_add_pings(struct strbuf *out, const void *arg, uint32_t round)
{
  (void)arg;
  (void)round;
  http2_repeat_frame(out, HTTP2_PING, 0, SLICE("12345678"));
}

// ---- attackers ----

static void take_answers(struct raw *raw)
{
  char bytes[16384];
  while (raw_is_readable(raw) && raw_read(raw, bytes, sizeof(bytes)) > 0)
    continue;
}

static bool send_part(struct http2_attack *attack, struct raw *raw, const struct strbuf *part)
{
  if (!raw_send(raw, part->data, part->size))
    return false;
  atomic_fetch_add(&attack->bytes, part->size);
  return true;
}

// Attacks by one connection until the gateway closes it.
static void attack_once(struct http2_attack *attack, struct raw *raw)
{
  struct strbuf part;
  strbuf_init(&part, 0);
  strbuf_add_string(&part, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  http2_add_frame(&part, HTTP2_SETTINGS, 0, 0, (struct slice){0});
  if (attack->kind->begin != NULL)
    attack->kind->begin(&part, attack->kind->arg);
  bool open = send_part(attack, raw, &part);
  for (uint32_t round = 0; open && !atomic_load(&attack->stop); round++) {
    if (attack->kind->go_on == NULL) {
      char byte;
      open = raw_read(raw, &byte, 1) > 0;
      continue;
    }
    strbuf_clear(&part);
    attack->kind->go_on(&part, attack->kind->arg, round);
    open = send_part(attack, raw, &part);
    if (attack->kind->reads)
      take_answers(raw);
  }
  if (!open)
    atomic_fetch_add(&attack->closed, 1);
  strbuf_free(&part);
}

static void run_attacker(void *arg)
{
  struct attacker *attacker = arg;
  struct http2_attack *attack = attacker->attack;
  background_let_others_first();
  while (!atomic_load(&attack->stop)) {
    struct raw *raw = RAW(.url = attack->url, .alpn = "h2", .from = attacker->address, .error = &attacker->error);
    atomic_fetch_add(&attack->connections, 1);
    if (raw == NULL)
      continue;
    attack_once(attack, raw);
    raw_reset(&raw);
  }
}

struct http2_attack *http2_attack_start(const char *url, const struct http2_attack_kind *kind, size_t attackers)
{
  struct http2_attack *attack = calloc(1, sizeof(*attack));
  cr_assert_not_null(attack);
  cr_assert_leq(attackers, MAX_ATTACKERS);
  *attack = (struct http2_attack){.url = url, .kind = kind, .count = attackers};
  for (size_t i = 0; i < attackers; i++) {
    attack->attackers[i] = (struct attacker){.attack = attack, .address = text("127.0.0.%zu", i + 2)};
    attack->attackers[i].background = background_start(run_attacker, &attack->attackers[i]);
  }
  return attack;
}

struct http2_attack_counts http2_attack_count(struct http2_attack *attack)
{
  return (struct http2_attack_counts){.connections = atomic_load(&attack->connections),
                                      .closed = atomic_load(&attack->closed),
                                      .bytes = atomic_load(&attack->bytes)};
}

struct http2_attack_counts http2_attack_stop(struct http2_attack **attack)
{
  atomic_store(&(*attack)->stop, true);
  for (size_t i = 0; i < (*attack)->count; i++) {
    struct attacker *attacker = &(*attack)->attackers[i];
    background_join(attacker->background);
    cr_expect_eq(attacker->error, 0, "%s from %s: %s", (*attack)->kind->name, attacker->address,
                 strerror(attacker->error));
  }
  struct http2_attack_counts counts = http2_attack_count(*attack);
  free(*attack);
  *attack = NULL;
  return counts;
}
