// Our bytes against protobuf-c's, both ways, and what the decoder refuses.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/rpc/v1/packet.pb-c.h"
#include "common/rpc/packet_internal.h"

static struct violation violations[] = {{SLICE_INIT("items[3].sku"), SLICE_INIT("must not be empty")},
                                        {SLICE_INIT(""), SLICE_INIT("")}};

static struct rpc_frame full_request(struct slice payload)
{
  return (struct rpc_frame){
      .call_id = UINT64_C(0x123456789ABCDEF0),
      .kind = RPC_FRAME_REQUEST,
      .method = SLICE("item.v1.ItemService/GetItem"),
      .timeout_ms = UINT32_MAX,
      .payload = payload,
      .has_context = true,
      .context = {.request_id = SLICE("r-1"),
                  .traceparent = SLICE("00-11111111111111111111111111111111-2222222222222222-01"),
                  .access_token = SLICE("a.b.c"),
                  .idempotency_key = SLICE("k"),
                  .client_address = SLICE("2001:db8::7"),
                  .user_agent = SLICE("Mozilla/5.0")},
      .expires_at_us = UINT64_MAX,
  };
}

static struct rpc_frame full_response(void)
{
  return (struct rpc_frame){
      .call_id = 1,
      .kind = RPC_FRAME_RESPONSE,
      .has_status = true,
      .status = {.code = STATUS_INVALID_ARGUMENT,
                 .message = SLICE("invalid \xc3\xa4"),
                 .reason = SLICE("VALIDATION"),
                 .violations = violations,
                 .violation_count = 2,
                 .retry_after_ms = 300},
  };
}

// Packs again what protobuf-c has read and compares: equal bytes say that nothing was lost or written differently.
static void check_against_protobuf_c(const struct rpc_frame *frames, size_t count)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  for (size_t i = 0; i < count; i++) {
    size_t before = packet.size;
    rpc_frame_append(&packet, &frames[i]);
    cr_assert_eq(packet.size - before, rpc_frame_packed_size(&frames[i]));
  }
  uint8_t tail[RPC_TAIL_MAX_BYTES];
  strbuf_add(&packet, slice_make(tail, rpc_tail_write(300, 70000000, tail)));
  Bulkhead__Rpc__V1__Packet *theirs =
      bulkhead__rpc__v1__packet__unpack(NULL, packet.size, (const uint8_t *)packet.data);
  cr_assert_not_null(theirs);
  cr_assert_eq(theirs->n_frames, count);
  cr_assert_eq(theirs->received, 300);
  cr_assert_eq(theirs->sent_at_us, 70000000);
  size_t size = bulkhead__rpc__v1__packet__get_packed_size(theirs);
  uint8_t *bytes = malloc(size);
  bulkhead__rpc__v1__packet__pack(theirs, bytes);
  cr_assert_eq(size, packet.size);
  cr_assert_arr_eq(bytes, packet.data, size);
  free(bytes);
  bulkhead__rpc__v1__packet__free_unpacked(theirs, NULL);
  strbuf_free(&packet);
}

Test(packet, what_we_write_is_byte_for_byte_what_protobuf_c_writes)
{
  static char large[70000];
  struct rpc_frame frames[] = {
      full_request(SLICE("payload")),
      full_response(),
      {.kind = RPC_FRAME_GOAWAY},
      {.call_id = 5, .kind = RPC_FRAME_CANCEL},
      full_request(slice_make(large, sizeof(large))),
      {.has_context = true, .has_status = true},
      {0},
  };
  check_against_protobuf_c(frames, ARRAY_LEN(frames));
}

Test(packet, what_we_write_has_the_meaning_that_protobuf_c_reads)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  struct rpc_frame request = full_request(SLICE("payload"));
  struct rpc_frame response = full_response();
  rpc_frame_append(&packet, &request);
  rpc_frame_append(&packet, &response);
  Bulkhead__Rpc__V1__Packet *theirs =
      bulkhead__rpc__v1__packet__unpack(NULL, packet.size, (const uint8_t *)packet.data);
  cr_assert_not_null(theirs);
  const Bulkhead__Rpc__V1__Frame *frame = theirs->frames[0];
  cr_assert_eq(frame->call_id, request.call_id);
  cr_assert_eq(frame->kind, BULKHEAD__RPC__V1__FRAME_KIND__FRAME_KIND_REQUEST);
  cr_assert_str_eq(frame->method, "item.v1.ItemService/GetItem");
  cr_assert_eq(frame->timeout_ms, UINT32_MAX);
  cr_assert_eq(frame->payload.len, 7);
  cr_assert_str_eq(frame->context->access_token, "a.b.c");
  cr_assert_str_eq(frame->context->idempotency_key, "k");
  cr_assert_str_eq(frame->context->client_address, "2001:db8::7");
  cr_assert_str_eq(frame->context->user_agent, "Mozilla/5.0");
  const Bulkhead__Rpc__V1__Status *status = theirs->frames[1]->status;
  cr_assert_eq(status->code, 3);
  cr_assert_str_eq(status->reason, "VALIDATION");
  cr_assert_str_eq(status->violations[0]->field, "items[3].sku");
  cr_assert_eq(status->retry_after_ms, 300);
  bulkhead__rpc__v1__packet__free_unpacked(theirs, NULL);
  strbuf_free(&packet);
}

// Builds a packet with protobuf-c's structs.
static struct slice pack_theirs(uint8_t *out)
{
  Bulkhead__Rpc__V1__Packet packet = BULKHEAD__RPC__V1__PACKET__INIT;
  Bulkhead__Rpc__V1__Frame frame = BULKHEAD__RPC__V1__FRAME__INIT;
  Bulkhead__Rpc__V1__CallContext context = BULKHEAD__RPC__V1__CALL_CONTEXT__INIT;
  Bulkhead__Rpc__V1__Status status = BULKHEAD__RPC__V1__STATUS__INIT;
  Bulkhead__Rpc__V1__FieldViolation violation = BULKHEAD__RPC__V1__FIELD_VIOLATION__INIT;
  Bulkhead__Rpc__V1__Frame *frames[] = {&frame};
  Bulkhead__Rpc__V1__FieldViolation *violation_list[] = {&violation};
  packet.n_frames = 1;
  packet.frames = frames;
  packet.received = UINT64_MAX;
  frame.call_id = 77;
  frame.kind = BULKHEAD__RPC__V1__FRAME_KIND__FRAME_KIND_RESPONSE;
  frame.method = "m";
  frame.timeout_ms = 9;
  frame.context = &context;
  frame.payload = (ProtobufCBinaryData){.data = (uint8_t *)"abc", .len = 3};
  frame.status = &status;
  frame.expires_at_us = 11;
  packet.sent_at_us = 12;
  packet.hello = "h";
  context.request_id = "r";
  context.traceparent = "t";
  context.access_token = "a.b.c";
  context.idempotency_key = "i";
  context.client_address = "192.0.2.7";
  context.user_agent = "curl/8";
  status.code = 5;
  status.message = "gone";
  status.reason = "GONE";
  status.n_violations = 1;
  status.violations = violation_list;
  status.retry_after_ms = 4;
  violation.field = "f";
  violation.description = "d";
  return slice_make(out, bulkhead__rpc__v1__packet__pack(&packet, out));
}

Test(packet, we_read_every_field_that_protobuf_c_writes)
{
  uint8_t buffer[512];
  struct rpc_packet_reader reader = rpc_packet_reader_make(pack_theirs(buffer));
  struct slice bytes;
  struct arena arena = {0};
  struct rpc_frame frame;
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_FIELD);
  cr_assert(rpc_frame_decode(bytes, &arena, &frame));
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_END);
  cr_assert_eq(reader.acked, UINT64_MAX);
  cr_assert_eq(reader.sent_at_us, 12);
  cr_assert_eq(frame.call_id, 77);
  cr_assert_eq(frame.kind, RPC_FRAME_RESPONSE);
  cr_assert(slice_equal_string(frame.method, "m"));
  cr_assert_eq(frame.timeout_ms, 9);
  cr_assert_eq(frame.expires_at_us, 11);
  cr_assert(slice_equal_string(frame.payload, "abc"));
  cr_assert(frame.has_context);
  cr_assert(slice_equal_string(frame.context.request_id, "r"));
  cr_assert(slice_equal_string(frame.context.traceparent, "t"));
  cr_assert(slice_equal_string(frame.context.access_token, "a.b.c"));
  cr_assert_eq(frame.context.caller_id.size, 0);
  cr_assert_eq(frame.context.caller_role_count, 0);
  cr_assert_eq(frame.context.peer_service.size, 0);
  cr_assert(slice_equal_string(reader.hello, "h"));
  cr_assert(slice_equal_string(frame.context.idempotency_key, "i"));
  cr_assert(slice_equal_string(frame.context.client_address, "192.0.2.7"));
  cr_assert(slice_equal_string(frame.context.user_agent, "curl/8"));
  cr_assert(frame.has_status);
  cr_assert_eq(frame.status.code, STATUS_NOT_FOUND);
  cr_assert(slice_equal_string(frame.status.message, "gone"));
  cr_assert(slice_equal_string(frame.status.reason, "GONE"));
  cr_assert_eq(frame.status.violation_count, 1);
  cr_assert(slice_equal_string(frame.status.violations[0].field, "f"));
  cr_assert(slice_equal_string(frame.status.violations[0].description, "d"));
  cr_assert_eq(frame.status.retry_after_ms, 4);
  arena_free(&arena);
}

Test(packet, a_late_timeout_is_read_like_any_other)
{
  struct strbuf body, packet;
  strbuf_init(&body, 0);
  strbuf_init(&packet, 0);
  struct rpc_frame frame = {.call_id = 3, .kind = RPC_FRAME_REQUEST, .payload = SLICE("x")};
  rpc_frame_append_body(&body, &frame);
  rpc_frame_append_with_timeout(&packet, strbuf_slice(&body), 1234, 5678);
  Bulkhead__Rpc__V1__Packet *theirs =
      bulkhead__rpc__v1__packet__unpack(NULL, packet.size, (const uint8_t *)packet.data);
  cr_assert_not_null(theirs);
  cr_assert_eq(theirs->frames[0]->timeout_ms, 1234);
  cr_assert_eq(theirs->frames[0]->expires_at_us, 5678);
  cr_assert_eq(theirs->frames[0]->payload.len, 1);
  bulkhead__rpc__v1__packet__free_unpacked(theirs, NULL);
  strbuf_free(&body);
  strbuf_free(&packet);
}

static bool decodes(const struct rpc_frame *frame)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  rpc_frame_append_body(&body, frame);
  struct arena arena = {0};
  struct rpc_frame decoded;
  bool result = rpc_frame_decode(strbuf_slice(&body), &arena, &decoded);
  arena_free(&arena);
  strbuf_free(&body);
  return result;
}

Test(packet, the_number_of_violations_is_bounded)
{
  struct violation many_violations[65] = {0};
  struct rpc_frame frame = {.has_status = true, .status = {.violations = many_violations, .violation_count = 64}};
  cr_assert(decodes(&frame));
  frame.status.violation_count = 65;
  cr_assert(!decodes(&frame));
}

// Sends `count` violations with these texts, and checks that each arrives with its own.
static void check_list_arrives(const struct slice *texts, const struct violation *errors, size_t count)
{
  struct rpc_frame frame = {
      .has_status = true,
      .status = {.violations = errors, .violation_count = count},
  };
  struct strbuf body;
  struct arena arena = {0};
  struct rpc_frame got;
  strbuf_init(&body, 0);
  rpc_frame_append_body(&body, &frame);
  cr_assert(rpc_frame_decode(strbuf_slice(&body), &arena, &got));
  cr_assert_eq(got.status.violation_count, count);
  for (size_t i = 0; i < count; i++) {
    cr_assert(slice_equal(got.status.violations[i].field, texts[i]), "violation %zu of %zu", i, count);
  }
  arena_free(&arena);
  strbuf_free(&body);
}

Test(packet, of_any_number_of_violations_each_arrives_with_its_own_text)
{
  static char numbers[RPC_MAX_VIOLATIONS][8];
  struct slice texts[RPC_MAX_VIOLATIONS];
  struct violation errors[RPC_MAX_VIOLATIONS];
  for (size_t count = 1; count <= RPC_MAX_VIOLATIONS; count++) {
    size_t last = count - 1;
    snprintf(numbers[last], sizeof(numbers[last]), "%zu", count);
    texts[last] = slice_from_string(numbers[last]);
    errors[last] = (struct violation){.field = texts[last], .description = SLICE("wrong")};
    check_list_arrives(texts, errors, count);
  }
}

Test(packet, text_that_is_not_utf8_is_refused_but_payloads_are_free)
{
  struct slice bad = SLICE("\xff");
  cr_assert(!decodes(&(struct rpc_frame){.method = bad}));
  cr_assert(!decodes(&(struct rpc_frame){.has_context = true, .context = {.access_token = bad}}));
  cr_assert(!decodes(&(struct rpc_frame){.has_status = true, .status = {.message = bad}}));
  cr_assert(decodes(&(struct rpc_frame){.payload = bad}));
}

Test(packet, fields_of_a_later_version_are_passed_over)
{
  struct strbuf packet;
  strbuf_init(&packet, 0);
  wire_write_bytes(&packet, 15, SLICE("new"));
  wire_write_fixed64(&packet, 1, 1);
  wire_write_bytes(&packet, 1, SLICE("\x08\x01\x7a\x01x\x10\x01"));
  struct rpc_packet_reader reader = rpc_packet_reader_make(strbuf_slice(&packet));
  struct slice bytes;
  struct arena arena = {0};
  struct rpc_frame frame;
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_FIELD);
  cr_assert(rpc_frame_decode(bytes, &arena, &frame));
  cr_assert_eq(frame.call_id, 1);
  cr_assert_eq(frame.kind, RPC_FRAME_REQUEST);
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_END);
  arena_free(&arena);
  strbuf_free(&packet);
}
