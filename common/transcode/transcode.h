// JSON and HTTP parameters to protobuf wire bytes and back, by descriptors alone; no message struct is built. The
// mapping is proto3 JSON (https://protobuf.dev/programming-guides/json/), strict: unknown fields and parameters,
// duplicate keys, wrong types, malformed UTF-8 and numbers out of range are violations that name the place.
//
// Written out always: numbers, booleans, enums, lists, maps, plain strings. Left out when not set: fields with
// presence, and empty strings of a field with a format ("" is no e-mail address). `secret` fields are never written.
#ifndef BULKHEAD_TRANSCODE_TRANSCODE_H
#define BULKHEAD_TRANSCODE_TRANSCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/base/violation.h"
#include "common/contract/contract.h"

#define TRANSCODE_MAX_DEPTH 32

// A request header that a field asks for by from_header; `value` NULL data when absent.
typedef struct slice transcode_header_fn(void *arg, const char *name);

struct transcode_request {
  const struct contract_route *route;
  struct slice query;  // raw, without '?'
  struct slice body;   // empty where the method has none
  transcode_header_fn *header;
  void *header_arg;
};

// Builds the request message in `out`. A PATCH whose request has a google.protobuf.FieldMask update_mask field that the
// client did not fill gets the body's fields as its mask (AIP-134). An If-Match value loses its quotes ("*" stays; weak
// tags and lists are violations). INVALID_ARGUMENT with `violations` filled; nothing else fails. All rules of the
// fields are checked.
enum status transcode_request_to_wire(const struct transcode_request *request, struct arena *arena, struct strbuf *out,
                                      struct violations *violations) MUST_CHECK;

// One message of JSON text to wire bytes, rules checked: the body part of the above, for other protocols and tests.
enum status transcode_json_to_wire(const struct contract_message *message, struct slice json, struct arena *arena,
                                   struct strbuf *out, struct violations *violations) MUST_CHECK;

// A message's wire bytes to JSON. INTERNAL when the bytes are no such message (a service of another version, a bug):
// unknown fields are left out, unknown enum numbers written as numbers.
enum status transcode_wire_to_json(const struct contract_message *message, struct slice wire,
                                   struct strbuf *json) MUST_CHECK;

// The response fields that go out as headers (to_header), found in the top level of `wire`: `emit(arg, name, value)`
// for each that is set; an ETag is quoted.
typedef void transcode_emit_fn(void *arg, const char *name, struct slice value);
enum status transcode_response_headers(const struct contract_message *message, struct slice wire, struct arena *arena,
                                       transcode_emit_fn *emit, void *arg) MUST_CHECK;
// The Location of a method's response: its template filled, values percent-encoded. Empty where the method has none.
enum status transcode_location(const struct contract_method *method, struct slice wire, struct strbuf *out) MUST_CHECK;

#endif
