// Attackers that speak HTTP/2, over TLS unless they say otherwise, in ways that no client does. Each has a thread and
// one connection at a time; where the gateway closes it, the attacker opens the next.
#ifndef BULKHEAD_TESTS_FAULT_HTTP2_ATTACK_H
#define BULKHEAD_TESTS_FAULT_HTTP2_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/strbuf.h"

enum http2_frame {
  HTTP2_DATA = 0,
  HTTP2_HEADERS = 1,
  HTTP2_RST_STREAM = 3,
  HTTP2_SETTINGS = 4,
  HTTP2_PING = 6,
  HTTP2_WINDOW_UPDATE = 8,
  HTTP2_CONTINUATION = 9
};
enum http2_flag { HTTP2_END_STREAM = 1, HTTP2_END_HEADERS = 4 };

// Appends a frame. `payload` may be empty.
void http2_add_frame(struct strbuf *out, enum http2_frame type, unsigned flags, uint32_t stream, struct slice payload);
// Appends the header block of a request: literals only, no table. `token` may be NULL.
void http2_add_headers(struct strbuf *block, const char *method, const char *path, const char *token);

// Appends many of one frame, as an attack sends them at once.
void http2_repeat_frame(struct strbuf *out, enum http2_frame type, uint32_t stream, struct slice payload);

// Parts for http2_attack_kind.go_on: requests that are reset at once (`arg` is the strbuf of their header block), the
// same with a body of 300 bytes, empty settings and pings, both of which want an answer.
void http2_ask_and_reset(struct strbuf *out, const void *arg, uint32_t round);
void http2_upload_and_reset(struct strbuf *out, const void *arg, uint32_t round);
void http2_add_settings(struct strbuf *out, const void *arg, uint32_t round);
void http2_add_pings(struct strbuf *out, const void *arg, uint32_t round);

struct http2_attack_kind {
  const char *name;
  // Appends what a connection begins with, behind the preface and empty settings; NULL: nothing.
  void (*begin)(struct strbuf *out, const void *arg);
  // Appends the next part, again and again. `round` counts from 0 on each connection. NULL: only waits for the end.
  void (*go_on)(struct strbuf *out, const void *arg, uint32_t round);
  bool reads;     // takes what the gateway sends
  bool is_plain;  // without TLS
  bool ends;      // the gateway is to close such connections
  const void *arg;
};

struct http2_attack_counts {
  size_t connections;
  size_t closed;  // by the gateway
  size_t bytes;   // sent
};

struct http2_attack;

// Starts attackers from 127.0.0.2 on, each from an address of its own. `url` and `kind` must outlive the attack.
struct http2_attack *http2_attack_start(const char *url, const struct http2_attack_kind *kind, size_t attackers);
struct http2_attack_counts http2_attack_count(struct http2_attack *attack);
// Fails the test where an attacker could not connect, or waited 20 s for nothing.
struct http2_attack_counts http2_attack_stop(struct http2_attack **attack);

#endif
