// How gRPC says how a call has ended: the values of grpc-message and grpc-status-details-bin
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Responses").
#ifndef BULKHEAD_GATEWAY_GRPC_STATUS_H
#define BULKHEAD_GATEWAY_GRPC_STATUS_H

#include <stdint.h>

#include "common/base/strbuf.h"
#include "gateway/problem.h"

// Adds the text, percent-encoded but for visible ASCII and the space.
void grpc_message_write(struct slice text, struct strbuf *out);

// Adds the details of a problem, as a google.rpc.Status has them: its reason in an ErrorInfo of the domain "bulkhead",
// its violations in a BadRequest (those that `max_bytes` have room for), the request id in a RequestInfo, and when to
// try again in a RetryInfo, unless `retry_after_ms` is 0.
void grpc_details_write(const struct problem *problem, uint32_t retry_after_ms, size_t max_bytes, struct strbuf *out);

// Adds the serialized google.rpc.Status of a problem, as large as a header may be.
void grpc_status_write(const struct problem *problem, enum status code, uint32_t retry_after_ms, struct strbuf *out);

// Reads the next of the details that grpc_details_write has written, from the front of `details`. `type` is the full
// name of its message. False at their end.
bool grpc_detail_read(struct slice *details, struct slice *type, struct slice *value);

// Adds a value for a header whose name ends in -bin: base64 without padding.
void grpc_binary_write(struct slice bytes, struct strbuf *out);

#endif
