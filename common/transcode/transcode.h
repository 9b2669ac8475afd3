// Translates JSON and HTTP parameters to protobuf wire bytes and back, by descriptors alone; no message struct is
// built. The mapping is proto3 JSON (https://protobuf.dev/programming-guides/json/), strict: unknown fields and
// parameters, duplicate keys, wrong types, malformed UTF-8 and numbers out of range are violations that name the place.
//
// JSON always has numbers, booleans, enums, lists, maps and plain strings. It leaves out fields with presence that are
// not set, empty strings of a field with a format (an e-mail address is never ""), and `secret` fields.
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

// How strictly JSON is read and how it is written. All false is what clients get and what NULL stands for; the rest is
// what programs of other makers do, so that the two can be compared.
struct transcode_profile {
  bool omits_defaults;   // fields without presence are left out where they have their default value
  bool takes_nul;        // texts may hold U+0000
  bool ignores_unknown;  // unknown fields, and values of enums with an unknown name, are passed over
  bool strict_masks;     // a FieldMask has lowerCamel names only
};

// Returns a request header that a field names by from_header; NULL data when it is absent.
typedef struct slice transcode_header_fn(void *arg, const char *name);

struct transcode_request {
  const struct contract_route *route;
  struct slice query;  // the raw query, without '?'
  struct slice body;   // the raw body; empty where the request has none (see contract_needs_body)
  bool merge_patch;    // the body is a merge patch (RFC 7396)
  transcode_header_fn *header;
  void *header_arg;
};

// Builds the wire bytes of the request message in `out` and checks the rules of options.proto. A PATCH without a mask
// of the client's own, whose request has a google.protobuf.FieldMask update_mask, gets the fields of its body as the
// mask (AIP-134). A mask of the client's own may name fields in their original form, too, and "*" is all; a field that
// it names and the body lacks is a violation. An If-Match of one strong tag loses its quotes. INVALID_ARGUMENT with
// `violations` filled; nothing else fails.
//
// A merge patch changes what it holds, and null empties a field, which is what every PATCH means. It differs for an
// object of the client's own making (FORMAT_JSON_OBJECT), of which it changes members: the mask then says
// "attributes.*". A map, and an object in a request with a mask of the client's own, would be replaced as a whole, so
// only null is accepted there. {} changes nothing.
enum status transcode_request_to_wire(const struct transcode_request *request, struct arena *arena, struct strbuf *out,
                                      struct violations *violations) MUST_CHECK;

// A request message that has come as one JSON object, without a route.
struct transcode_json_request {
  const struct contract_method *method;
  struct slice json;
  transcode_header_fn *header;  // NULL: there are none
  void *header_arg;
};

// Does what transcode_request_to_wire does for such a message, which may have every field. A field that a header fills
// is taken from there where the object does not have it, and must be the same where it has. A field that only the
// service sets is ignored, unless a route of the method names it in its path. A text of FORMAT_JSON_OBJECT comes as a
// text, as proto3 JSON has it.
enum status transcode_request_from_json(const struct transcode_json_request *request, struct arena *arena,
                                        struct strbuf *out, struct violations *violations) MUST_CHECK;

// A request message whose bytes a client has sent as such.
struct transcode_wire_request {
  const struct contract_method *method;
  struct slice wire;
  transcode_header_fn *header;  // NULL: there are none
  void *header_arg;
};

// Lets the bytes pass. As with JSON, fields that only the service sets are left out, unless a route of the method names
// them in its path, and so are fields that the contract does not have; UUIDs are in lower case; and a field that a
// header fills is taken from there where the message does not have it. `message` is `wire` itself where nothing had to
// change, else a view of `out`. INVALID_ARGUMENT with `violations` filled where the bytes are no such message, a text
// is not UTF-8, a list has more items than its rules allow, or a message is given twice. The other rules of
// options.proto are left to the service, which checks them in any case.
enum status transcode_request_from_wire(const struct transcode_wire_request *request, struct strbuf *out,
                                        struct slice *message, struct violations *violations) MUST_CHECK;
// Lets a response pass in the same way: without `secret` fields, and without those that the contract does not have.
// INTERNAL when the bytes are not such a message.
enum status transcode_response_to_wire(const struct contract_message *message, struct slice wire, struct strbuf *out,
                                       struct slice *response) MUST_CHECK;

// Reads a JSON value as a message of any type and appends its wire bytes to `out`. INVALID_ARGUMENT with `violations`
// filled.
enum status transcode_message_from_json(const struct contract_message *message, struct slice json,
                                        const struct transcode_profile *profile, struct arena *arena,
                                        struct strbuf *out, struct violations *violations) MUST_CHECK;

// Translates a message's wire bytes to JSON. Unknown fields are left out, unknown enum numbers written as numbers.
// INTERNAL when the bytes are not such a message: the service has a bug or an incompatible contract.
enum status transcode_wire_to_json(const struct contract_message *message, struct slice wire,
                                   struct strbuf *json) MUST_CHECK;

enum status transcode_wire_to_json_as(const struct contract_message *message, struct slice wire,
                                      const struct transcode_profile *profile, struct strbuf *json) MUST_CHECK;

// What the HTTP body of a reply holds.
struct transcode_body {
  const struct contract_message *message;  // the response, or the message in it that response_body names
  const struct contract_field *field;      // the field of it whose value is the body; NULL: all of it is
  struct slice wire;                       // the bytes of the message
  // Texts of FORMAT_JSON_OBJECT are written as the texts that they are, as proto3 JSON has them, and not as objects.
  bool objects_are_texts;
};
// Finds the body of a reply, a view of `wire`. INTERNAL when the bytes are not a message.
enum status transcode_find_body(const struct contract_binding *binding, struct slice wire,
                                struct transcode_body *body) MUST_CHECK;
// Translates the body to JSON. Of a single field that is not set that is its default: null where it has presence, as of
// a Timestamp. INTERNAL as of transcode_wire_to_json.
enum status transcode_body_to_json(const struct transcode_body *body, struct strbuf *json) MUST_CHECK;

// Does what transcode_body_to_json does, in pieces, because a message of megabytes holds up all else that its thread
// has to do. The body's bytes and `json` must outlive the pieces, which lie in the arena.
struct transcode_pieces;
struct transcode_pieces *transcode_pieces_begin(const struct transcode_body *body, struct arena *arena,
                                                struct strbuf *json);
// Appends whole values until the piece has `max_bytes` or more, or the message ends: a value is a field of the message,
// or an element of one that is a list. INTERNAL as of transcode_wire_to_json; then `json` is as it was before the
// first piece, and there is no further one.
enum status transcode_pieces_write(struct transcode_pieces *pieces, size_t max_bytes, bool *is_done) MUST_CHECK;

// Finds the response fields that go out as headers (to_header) at the top level of `wire` and calls `emit` for each
// that is set; an ETag is quoted. INTERNAL for a value that cannot stand in a header.
typedef void transcode_emit_fn(void *arg, const char *name, struct slice value);
enum status transcode_response_headers(const struct contract_message *message, struct slice wire, struct arena *arena,
                                       transcode_emit_fn *emit, void *arg) MUST_CHECK;
// Writes the Location of a method's response: its template with percent-encoded values. Nothing where the method has
// none. INTERNAL when the response leaves one of the values empty.
enum status transcode_location(const struct contract_method *method, struct slice wire, struct strbuf *out) MUST_CHECK;

#endif
