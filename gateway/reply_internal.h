// How a response becomes a reply in REST and Connect (reply_success.c). Private to gateway/rest.c and connect.c.
#ifndef BULKHEAD_GATEWAY_REPLY_INTERNAL_H
#define BULKHEAD_GATEWAY_REPLY_INTERNAL_H

#include "gateway/protocol_internal.h"

// Adds the fields of a response that go out as headers. `etag` is the ETag with its quotes, empty where there is none.
// False where a value cannot stand in a header.
bool reply_add_response_headers(struct exchange *exchange, const struct contract_message *message, struct slice wire,
                                struct slice *etag);
// Answers a read whose If-Match does not hold (412), or whose If-None-Match does (304). STEP_NEXT for all else.
enum step_result reply_judge_conditions(struct exchange *exchange, struct slice etag);
// Returns the Cache-Control of a success. A shared cache may keep only what everybody may see. A client may keep what
// has an ETag, and asks each time whether it is still the same.
const char *reply_cache_control(struct exchange *exchange);
// Makes the body of the reply as JSON, at once or, where it is large, in pieces.
enum step_result reply_write_json(struct exchange *exchange, const struct transcode_body *body);

#endif
