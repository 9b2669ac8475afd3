// Reads the request headers that the gateway itself understands. Pure functions of what a client sent.
#ifndef BULKHEAD_GATEWAY_HTTP_FIELDS_H
#define BULKHEAD_GATEWAY_HTTP_FIELDS_H

#include <stdbool.h>

#include "common/base/slice.h"

#define REQUEST_ID_MAX_BYTES 64
#define IDEMPOTENCY_KEY_MAX_BYTES 128

// Whether a client's request id may be taken over into logs and headers: 1 to 64 letters, digits, '.', '_' and '-'.
bool request_id_valid(struct slice value);

// Reads an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): 1 to 128 visible ASCII characters. The draft
// writes the key in quotes, many clients do not; `key` is the same in both cases. A value without data means that there
// is no such header, and no key. False for any other value, also an empty one: a client that sends it believes itself
// safe.
bool idempotency_key_read(struct slice value, struct slice *key);

enum bearer_result {
  BEARER_TOKEN,      // `token` is a view into the header's value
  BEARER_ABSENT,     // no Authorization, or one of another scheme
  BEARER_MALFORMED,  // the Bearer scheme without exactly one token in the alphabet of RFC 6750 section 2.1
};
enum bearer_result bearer_token(struct slice authorization, struct slice *token);

// The media types that a PATCH takes, as Accept-Patch lists them (RFC 5789).
#define PATCH_TYPES "application/merge-patch+json, application/json"

// Whether the type is application/merge-patch+json (RFC 7396), with the same parameters as media_type_is_json.
bool media_type_is_merge_patch(struct slice content_type);
// Whether the type is application/x-ndjson, with the same parameters.
bool media_type_is_lines(struct slice content_type);
// Whether the type is application/json with no other parameter than charset=utf-8 (RFC 8259 section 8.1).
bool media_type_is_json(struct slice content_type);

// Whether If-Match (RFC 9110 section 13.1.1) lists our strong entity tag, which comes with its quotes, or is "*".
bool if_match_holds(struct slice if_match, struct slice etag);

// Whether If-None-Match (RFC 9110 section 13.1.2) lists our strong entity tag, which comes with its quotes; compares
// weakly.
bool if_none_match_holds(struct slice if_none_match, struct slice etag);

#endif
