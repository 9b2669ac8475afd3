// The streams of REST (rest_stream.c). Private to gateway/rest*.c.
#ifndef BULKHEAD_GATEWAY_REST_INTERNAL_H
#define BULKHEAD_GATEWAY_REST_INTERNAL_H

#include "gateway/protocol_internal.h"

// Chooses the form in which the messages of a service leave, or answers 406.
enum step_result rest_choose_format(struct exchange *exchange);
// Says in the reply of a stream, which has begun, how it has failed.
void rest_fail_stream(struct exchange *exchange, const struct problem *problem);

// The members of struct protocol.
enum read_result rest_read_line(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *message);
void rest_begin_stream(struct exchange *exchange);
bool rest_put(struct exchange *exchange, struct slice response);
void rest_end_stream(struct exchange *exchange);
void rest_beat(struct exchange *exchange);

#endif
