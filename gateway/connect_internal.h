// The parts of the Connect protocol that calls with streams and calls without them share: what a request says of
// itself, and how errors are written. Private to gateway/connect*.c and protocol.c.
#ifndef BULKHEAD_GATEWAY_CONNECT_INTERNAL_H
#define BULKHEAD_GATEWAY_CONNECT_INTERNAL_H

#include "common/base/jsontext_writer.h"
#include "gateway/protocol_internal.h"

// The types that are taken, as answers to another one name them.
#define CONNECT_TYPES "application/json, application/proto"
#define CONNECT_STREAM_TYPES "application/connect+json, application/connect+proto"

// Tells whether a request says that it is one of Connect, whatever its path names.
bool connect_is_announced(const struct exchange_input *input);
// Returns the protocol of a request of Connect. Only a POST may have streams.
const struct protocol *connect_choose(const struct exchange_input *input);
// Answers 415 with the types that would be taken.
enum step_result connect_refuse_type(struct exchange *exchange, const char *types, const char *detail);
// Refuses a version of the protocol that a POST names, but for that which there is.
enum step_result connect_judge_version(struct exchange *exchange);

// Finds the method of a call, and the protocol by the form of its message: JSON or protobuf.
enum step_result connect_find_method(struct exchange *exchange);
// Judge the head for the body of a POST or the query of a GET, and make exchange.message of what has come.
enum step_result connect_begin_body(struct exchange *exchange);
enum step_result connect_judge_body(struct exchange *exchange);
// Makes exchange.message of what is in it in JSON; violations lie in the arena.
enum step_result connect_translate_json(struct exchange *exchange, struct arena *arena);

// Writes an error as an object.
void connect_write_error(struct jsontext_writer *json, const struct problem *problem, uint32_t retry_after_ms);
// Makes the reply an error of a call without streams, whose HTTP status tells of it.
enum step_result connect_fail(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms);

#endif
