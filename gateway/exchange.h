// One HTTP exchange from request to reply, as a table of named steps:
//
//   identify → route → time → authenticate → authorise → admit → limit → body → arrived →
//   translate → attempt → call → reply
//
// A step may hand on, fail (a problem document becomes the reply) or wait. The host (gateway/nginx, tests) feeds the
// request in and sends the reply out; nothing here knows a socket.
//
// Life: exchange_open → exchange_start → (exchange_body) → reply → exchange_close. All views in the input must
// stay valid until the close; those in the reply are valid until the close.
#ifndef BULKHEAD_GATEWAY_EXCHANGE_H
#define BULKHEAD_GATEWAY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/transcode/transcode.h"
#include "gateway/gateway.h"
#include "gateway/time_limits.h"

struct exchange;

struct exchange_input {
  struct slice method;  // "GET"
  struct slice path;    // as sent: percent-encoded, without query
  struct slice query;   // without '?'
  // Request headers that the steps read on every request; empty means absent.
  struct slice authorization;
  struct slice content_type;
  struct slice if_match;
  struct slice if_none_match;
  struct slice request_id;
  struct slice traceparent;
  struct slice idempotency_key;  // without data: absent
  struct time_limits time_limits;
  struct slice client_address;  // "192.0.2.7", "2001:db8::7"; empty where it is unknown
  bool has_body;
  bool is_http2;
  uint64_t body_bytes;     // the size that the request announces; 0 where it announces none
  bool body_may_be_empty;  // with has_body: its size is known only at its end
  // Returns any other request header by name; letter case does not matter.
  transcode_header_fn *header;
  void *header_arg;
};

enum exchange_next {
  EXCHANGE_DONE,       // exchange_reply has the reply
  EXCHANGE_WANT_BODY,  // the host reads the whole body and calls exchange_body, or exchange_fail_http where it cannot
  EXCHANGE_WAITING,    // the exchange waits; `progress` will be called
  EXCHANGE_WRITING,    // the reply is large: the host calls exchange_write, and does its other work between pieces
  // The client sends messages, which go to the service as they come: the host gives them to exchange_feed.
  EXCHANGE_WANT_STREAM,
  EXCHANGE_STREAMING,  // the reply has begun: the host sends its head, and then what exchange_stream_next returns
};

// Tells the host that a waiting exchange has gone on, with DONE, WANT_BODY, WANT_STREAM or, which only it brings,
// WRITING and STREAMING. Called once after each EXCHANGE_WAITING, from gateway_process or when a call ends.
//
// After WANT_STREAM and STREAMING it is called as often as there is something to do: with WANT_STREAM when
// exchange_feed may go on, with STREAMING when there is something to send, and with DONE when the reply is there as a
// whole. It may be called from inside exchange_feed and the RPC client, so the host must do nothing with the exchange
// before it has returned.
typedef void exchange_progress_fn(void *arg, enum exchange_next next);

struct exchange_header {
  struct slice name;
  struct slice value;
};

// A list of headers, in the exchange's arena.
struct exchange_headers {
  struct exchange_header *items;
  size_t count;
  size_t capacity;
};

struct exchange_reply {
  int http_status;
  struct slice content_type;  // empty when the reply has no body
  struct slice body;
  struct exchange_headers headers;
  struct exchange_headers trailers;  // follow the body, of a protocol that has it so
  bool has_no_body;                  // the reply ends with its headers; `content_type` may be set
  bool is_cut;                       // a stream has failed in a way that only its end without an end can say
  int outcome;                       // the HTTP status that REST has for this outcome
  bool has_etag;                     // a strong ETag names the body's bytes, so they must not be re-encoded
  struct slice reason;               // of a problem; empty for another reply
};

// Facts about a request for the access log.
struct exchange_facts {
  struct slice request_id;
  struct slice trace_id;
  struct slice caller_id;      // the verified user; empty for an anonymous caller
  struct slice method;         // full RPC name; empty when no route matched
  struct slice rate_class;     // whose limit the request counts in: "read"; empty when no route matched
  struct slice protocol;       // that the client spoke: "grpc-web"
  struct slice instance;       // that had the call last; empty without a call, and where no instance has had it
  struct slice reason;         // of the problem that is the reply; empty for another reply
  uint64_t messages_received;  // of a stream, from the client
  uint64_t messages_sent;      // of a stream, by the service
};

// What the time of a request has passed with. Together the phases are all of it.
enum exchange_phase {
  EXCHANGE_PHASE_PREPARE,  // until its call was made, or the reply was there without one
  EXCHANGE_PHASE_SERVICE,  // until the call has ended, or the reply of a stream began
  EXCHANGE_PHASE_REPLY,    // until now: translating the answer and sending it, or what a stream lasts
};

// Opens an exchange, in the memory of a closed one where there is one. Never NULL. `progress` is called with `arg`.
// Must be closed with exchange_close.
struct exchange *exchange_open(struct gateway *gateway, exchange_progress_fn *progress, void *arg);
enum exchange_next exchange_start(struct exchange *exchange, const struct exchange_input *input);
// Returns how many bytes the body may have, after EXCHANGE_WANT_BODY. A body that announced more was refused before.
size_t exchange_body_limit(const struct exchange *exchange);
// Goes on with the body after EXCHANGE_WANT_BODY. `body` must stay valid until the close.
enum exchange_next exchange_body(struct exchange *exchange, struct slice body);
// Writes the next piece of a large reply, after EXCHANGE_WRITING. Returns WRITING while others follow, then DONE;
// WAITING where the exchange is written no more, because it was abandoned or has another reply by now.
enum exchange_next exchange_write(struct exchange *exchange);
// Returns the size of the response that exchange_write writes.
size_t exchange_write_bytes(const struct exchange *exchange);

// ---- streams ----

// Takes bytes of the client's messages, after EXCHANGE_WANT_STREAM. `is_last` says that none follow. True where all of
// them were used. False where the service takes no more now: then `*bytes` are those that are left, to be fed again
// when `progress` says WANT_STREAM.
bool exchange_feed(struct exchange *exchange, struct slice *bytes, bool is_last);
// Returns what is to be sent next of a stream, and takes what was returned before as sent. Empty while nothing is
// there. Valid until the next call.
struct slice exchange_stream_next(struct exchange *exchange);
// Makes the exchange have something to send, for proxies and clients that take silence for a broken connection. Does
// nothing where the protocol has no form for it.
void exchange_stream_beat(struct exchange *exchange);
// Tells whether the exchange has a stream to send that was not abandoned.
bool exchange_is_streaming(const struct exchange *exchange);
// Tells whether all of a stream was sent, so that the host ends it with the reply's trailers, or cuts it off
// (exchange_reply.is_cut).
bool exchange_stream_is_sent(const struct exchange *exchange);
// Completes an exchange whose stream was sent.
void exchange_end_stream(struct exchange *exchange);
// Ends the streams of callers whose tokens are not valid any more; gateway_process calls it.
void exchange_check_streams(struct gateway *gateway, uint64_t now_us);
// Ends all streams with UNAVAILABLE, and lets no other one begin, because the process ends.
void exchange_drain_streams(struct gateway *gateway);

// Makes the reply the problem for `http_status`, because the HTTP layer itself refused the request (too large,
// malformed, too slow). An OPTIONS that it refused (405) is answered with 204 and the methods of the path. Allowed at
// any time; an exchange that was never started takes what identifies the request from `input`.
void exchange_fail_http(struct exchange *exchange, const struct exchange_input *input, int http_status);
const struct exchange_reply *exchange_reply(const struct exchange *exchange);
// Tells the exchange that the host has nothing more to do for the reply but to wait for the client, or does what is
// left only when others leave it time to: a call that is limited (admission.h) takes its place until then.
void exchange_note_sent(struct exchange *exchange);
struct exchange_facts exchange_facts(const struct exchange *exchange);
// Returns how long a phase of the exchange has taken, up to now.
uint64_t exchange_phase_us(const struct exchange *exchange, enum exchange_phase phase);
// Ends the exchange and sets the pointer to NULL: cancels a call in flight; a request without a reply counts as 499.
void exchange_close(struct exchange **exchange);
// Tells the exchange that the client has gone: cancels a call in flight, and `progress` is not called any more. The
// exchange must still be closed.
void exchange_abandon(struct exchange *exchange);

// Answers the waiting exchanges whose client waits no longer than `now_us`; gateway_process calls it.
void exchange_expire_waits(struct gateway *gateway, uint64_t now_us);

// Gives calls up, a few at a time, for whose answers there is no room (gateway.excess); gateway_process calls it.
void exchange_give_up_excess(struct gateway *gateway);

// Frees those of the closed exchanges kept for reuse that no request has needed since the last call, so that the crowd
// of an outage leaves nothing behind; called at each look for memory that can be given back.
void exchange_trim_spares(struct gateway *gateway);
// Frees all of them; gateway_free calls it.
void exchange_free_spares(struct gateway *gateway);

#endif
