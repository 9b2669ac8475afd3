// The parts of the Connect protocol that protocol.c and connect.c share: what a request says of itself. Private to the
// two and connect_request.c.
#ifndef BULKHEAD_GATEWAY_CONNECT_INTERNAL_H
#define BULKHEAD_GATEWAY_CONNECT_INTERNAL_H

#include "gateway/protocol_internal.h"

// Tells whether a request says that it is one of Connect, whatever its path names.
bool connect_is_announced(const struct exchange_input *input);

// Finds the method of a call, and the protocol by the form of its message: JSON or protobuf.
enum step_result connect_find_method(struct exchange *exchange);
// Judge the head for the body of a POST or the query of a GET, and make exchange.message of what has come.
enum step_result connect_begin_body(struct exchange *exchange);
enum step_result connect_judge_body(struct exchange *exchange);

#endif
