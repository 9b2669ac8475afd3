// The side of protobuf's conformance suite that is tested: reads requests of the runner from standard input and answers
// on standard output, each with its length in front. JSON is translated to protobuf and back as the gateway does it,
// with a profile for what the suite's defaults differ in.
//   CONFORMANCE_SET=conformance.protoset conformance_test_runner ... build/release/bin/conformance-testee
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/wire.h"
#include "common/transcode/transcode.h"

#define MAX_REQUEST_BYTES (64u * 1024 * 1024)

// Numbers of conformance.proto.
enum { FORMAT_PROTOBUF = 1, FORMAT_JSON = 2 };
enum { CATEGORY_IGNORES_UNKNOWN = 3 };
enum answer_field {
  ANSWER_PARSE_ERROR = 1,
  ANSWER_PROTOBUF = 3,
  ANSWER_JSON = 4,
  ANSWER_SKIPPED = 5,
  ANSWER_SERIALIZE_ERROR = 6,
};

struct request {
  uint32_t payload_field;
  struct slice payload;
  uint64_t output_format;
  uint64_t category;
  struct slice message_type;
};

static void read_request(struct slice wire, struct request *request)
{
  enum { PROTOBUF_PAYLOAD = 1, JSON_PAYLOAD = 2, OUTPUT_FORMAT = 3, MESSAGE_TYPE = 4, CATEGORY = 5 };
  enum { JSPB_PAYLOAD = 7, TEXT_PAYLOAD = 8 };
  struct wire_reader reader = wire_reader_make(wire);
  struct wire_field field;
  *request = (struct request){0};
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    switch (field.number) {
    case PROTOBUF_PAYLOAD:
    case JSON_PAYLOAD:
    case JSPB_PAYLOAD:
    case TEXT_PAYLOAD:
      request->payload_field = field.number;
      request->payload = field.bytes;
      break;
    case OUTPUT_FORMAT:
      request->output_format = field.varint;
      break;
    case MESSAGE_TYPE:
      request->message_type = field.bytes;
      break;
    case CATEGORY:
      request->category = field.varint;
      break;
    default:
      break;
    }
  CHECK(result == WIRE_END);
}

static void skip(struct strbuf *answer, const char *why)
{
  wire_write_bytes(answer, ANSWER_SKIPPED, slice_from_string(why));
}

// Reads the JSON payload as wire bytes. Returns false, with the answer written, where it is refused.
static bool parse_json(const struct contract_message *message, const struct request *request,
                       const struct transcode_profile *profile, struct arena *arena, struct strbuf *wire,
                       struct strbuf *answer)
{
  struct violations violations;
  violations_init(&violations, arena);
  enum status status = transcode_message_from_json(message, request->payload, profile, arena, wire, &violations);
  if (status == STATUS_OK)
    return true;
  const struct violation *first = &violations.items[0];
  const char *sentence =
      arena_printf(arena, SLICE_FMT ": " SLICE_FMT, SLICE_ARG(first->field), SLICE_ARG(first->description));
  wire_write_bytes(answer, ANSWER_PARSE_ERROR, slice_from_string(sentence));
  return false;
}

static void write_json(const struct contract_message *message, struct slice wire,
                       const struct transcode_profile *profile, struct strbuf *answer)
{
  struct strbuf json;
  strbuf_init(&json, 0);
  if (transcode_wire_to_json_as(message, wire, profile, &json) == STATUS_OK)
    wire_write_bytes(answer, ANSWER_JSON, strbuf_slice(&json));
  else
    wire_write_bytes(answer, ANSWER_SERIALIZE_ERROR, SLICE("the message has no JSON form"));
  strbuf_free(&json);
}

static void translate(const struct contract_message *message, const struct request *request, struct strbuf *answer)
{
  const struct transcode_profile profile = {
      .omits_defaults = true,
      .takes_nul = true,
      .ignores_unknown = request->category == CATEGORY_IGNORES_UNKNOWN,
      .strict_masks = true,
  };
  struct arena arena;
  struct strbuf wire;
  arena_init(&arena);
  strbuf_init(&wire, 0);
  bool is_json = request->payload_field == FORMAT_JSON;
  if (!is_json)
    strbuf_add(&wire, request->payload);
  if (!is_json || parse_json(message, request, &profile, &arena, &wire, answer)) {
    if (request->output_format == FORMAT_JSON)
      write_json(message, strbuf_slice(&wire), &profile, answer);
    else
      wire_write_bytes(answer, ANSWER_PROTOBUF, strbuf_slice(&wire));
  }
  strbuf_free(&wire);
  arena_free(&arena);
}

// Answers what is proto3 JSON, and passes over the rest: other formats, and messages of proto2 and of editions.
static void answer_request(const struct contract *contract, const struct request *request, struct strbuf *answer)
{
  const struct contract_message *message = contract_message_by_name(contract, request->message_type);
  bool takes = request->payload_field == FORMAT_JSON || request->payload_field == FORMAT_PROTOBUF;
  bool gives = request->output_format == FORMAT_JSON || request->output_format == FORMAT_PROTOBUF;
  if (message == NULL)
    skip(answer, "the message is not one of proto3");
  else if (!takes || !gives)
    skip(answer, "the format is neither JSON nor protobuf");
  else if (request->payload_field != FORMAT_JSON && request->output_format != FORMAT_JSON)
    skip(answer, "no JSON is in it");
  else
    translate(message, request, answer);
}

static const struct contract *load_contract(void)
{
  const char *path = getenv("CONFORMANCE_SET");
  struct strbuf content;
  struct contract *contract;
  struct diagnostics diagnostics;
  strbuf_init(&content, 0);
  diagnostics_init(&diagnostics);
  if (path == NULL || !strbuf_read_file(&content, path)) {
    fputs("CONFORMANCE_SET must name the descriptor set of the suite's messages\n", stderr);
    exit(1);
  }
  if (contract_load(strbuf_slice(&content), &contract, &diagnostics) != STATUS_OK) {
    struct strbuf text;
    strbuf_init(&text, 0);
    diagnostics_write(&diagnostics, &text);
    fprintf(stderr, "%s\n", strbuf_cstring(&text));
    exit(1);
  }
  return contract;
}

// Reads the length in front of a request. False at the end of the input.
static bool read_size(size_t *size)
{
  unsigned char bytes[4];
  if (fread(bytes, 1, sizeof(bytes), stdin) != sizeof(bytes))
    return false;
  *size = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
  return true;
}

static void write_answer(struct slice answer)
{
  const unsigned char size[4] = {(unsigned char)answer.size, (unsigned char)(answer.size >> 8),
                                 (unsigned char)(answer.size >> 16), (unsigned char)(answer.size >> 24)};
  CHECK(fwrite(size, 1, sizeof(size), stdout) == sizeof(size));
  CHECK(answer.size == 0 || fwrite(answer.data, 1, answer.size, stdout) == answer.size);
  CHECK(fflush(stdout) == 0);
}

int main(void)
{
  const struct contract *contract = load_contract();
  size_t size;
  while (read_size(&size)) {
    CHECK(size <= MAX_REQUEST_BYTES);
    // Allocates what is needed and no more, so that AddressSanitizer sees a read behind its end.
    char *bytes = malloc(size + 1);
    CHECK(bytes != NULL && fread(bytes, 1, size, stdin) == size);
    struct request request;
    struct strbuf answer;
    strbuf_init(&answer, 0);
    read_request(slice_make(bytes, size), &request);
    answer_request(contract, &request, &answer);
    write_answer(strbuf_slice(&answer));
    strbuf_free(&answer);
    free(bytes);
  }
  return 0;
}
