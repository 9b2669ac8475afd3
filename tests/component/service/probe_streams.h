// The probe's methods with streams. Their messages are ListItemsRequest and Item, whatever the method is about.
#ifndef BULKHEAD_TESTS_SERVICE_PROBE_STREAMS_H
#define BULKHEAD_TESTS_SERVICE_PROBE_STREAMS_H

#include "common/service/call.h"
#include "item/v1/item.pb-c.h"

// Sends `page_size` items, whose quantity counts from 1.
#define PROBE_COUNT "probe.v1.Streams/Count"
// Takes messages, and answers with the sum of their page_size as quantity.
#define PROBE_SUM "probe.v1.Streams/Sum"
// Sends an item with the name `q` for each message.
#define PROBE_ECHO "probe.v1.Streams/Echo"
// Does the same through PROBE_ECHO of the peer.
#define PROBE_RELAY "probe.v1.Streams/Relay"
// Answers what PROBE_COUNT and PROBE_SUM of the peer come to.
#define PROBE_ADD "probe.v1.Streams/Add"
// Sends an item, then none until the process drains, and ends with UNAVAILABLE.
#define PROBE_WATCH "probe.v1.Streams/Watch"
// Takes one message, and then waits 100 ms at most for each.
#define PROBE_HURRY "probe.v1.Streams/Hurry"

// Replies after the first message: 1,000 and its page_size.
#define PROBE_HASTY "probe.v1.Streams/Hasty"
// `q` of PROBE_ADD: it uses PROBE_HASTY instead of PROBE_SUM.
#define PROBE_HASTY_PEER "hasty"

// A task of its own sends PROBE_BOTH_ITEMS items of 20 kB, while the handler reads as PROBE_SUM does. Then it sends an
// item with the sum.
#define PROBE_BOTH "probe.v1.Streams/Both"
enum { PROBE_BOTH_ITEMS = 200 };

// `q` of messages to PROBE_COUNT and PROBE_ECHO: the handler fails with ALREADY_EXISTS.
#define PROBE_STREAM_FAILS "fail"

// The handler of ImportItems, which no test calls.
enum status probe_import_items(struct call *call, struct stream *stream, Item__V1__ImportItemsResponse *response);

extern const struct rpc_service probe_streams;
extern void (*const probe_stream_handlers[])(void);

#endif
