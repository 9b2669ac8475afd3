// How gRPC says how a call has ended: the values of grpc-message and grpc-status-details-bin
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Responses").
#ifndef BULKHEAD_GATEWAY_GRPC_STATUS_H
#define BULKHEAD_GATEWAY_GRPC_STATUS_H

#include <stdint.h>

#include "common/base/strbuf.h"
#include "gateway/problem.h"

// Adds the text, percent-encoded but for visible ASCII and the space.
void grpc_message_write(struct slice text, struct strbuf *out);

// Adds the serialized google.rpc.Status of a problem: its reason in an ErrorInfo of the domain "bulkhead", its
// violations in a BadRequest (as many as a header has room for), the request id in a RequestInfo, and when to try again
// in a RetryInfo, unless `retry_after_ms` is 0.
void grpc_status_write(const struct problem *problem, enum status code, uint32_t retry_after_ms, struct strbuf *out);

// Adds a value for a header whose name ends in -bin: base64 without padding.
void grpc_binary_write(struct slice bytes, struct strbuf *out);

#endif
