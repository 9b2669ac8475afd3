// Any bytes as the reply of a service: JSON that reads back, the same at once and in pieces, or INTERNAL with nothing
// written.
#include "common/base/jsontext_reader.h"
#include "common/transcode/transcode.h"
#include "tests/fuzz/fuzz_contract.h"

static const char *const MESSAGES[] = {
    "item.v1.ListItemsResponse", "item.v1.Item", "item.v1.UpdateItemRequest", "google.protobuf.Timestamp",
    "google.protobuf.FieldMask",
};

static void ignore_header(void *arg, const char *name, struct slice value)
{
  (void)arg;
  (void)name;
  for (size_t i = 0; i < value.size; i++)
    CHECK(value.data[i] >= ' ' && value.data[i] <= '~');
}

static void check_pieces(const struct contract_message *message, struct slice wire, enum status wanted,
                         struct slice json)
{
  struct strbuf out;
  struct arena arena;
  strbuf_init(&out, 0);
  arena_init(&arena);
  struct transcode_pieces *pieces =
      transcode_pieces_begin(&(struct transcode_body){.message = message, .wire = wire}, &arena, &out);
  bool is_done = false;
  enum status status;
  while ((status = transcode_pieces_write(pieces, 16, &is_done)) == STATUS_OK && !is_done)
    continue;
  CHECK(status == wanted && slice_equal(strbuf_slice(&out), json));
  strbuf_free(&out);
  arena_free(&arena);
}

static void check_message(const struct contract_message *message, struct slice wire)
{
  struct strbuf json;
  struct arena arena;
  strbuf_init(&json, 0);
  arena_init(&arena);
  enum status status = transcode_wire_to_json(message, wire, &json);
  if (status == STATUS_OK) {
    struct jsontext_reader reader;
    jsontext_reader_init(&reader, strbuf_slice(&json), JSONTEXT_MAX_DEPTH, &arena);
    CHECK(jsontext_skip_value(&reader, NULL) && jsontext_read(&reader) == JSONTEXT_END);
  } else {
    CHECK(status == STATUS_INTERNAL && json.size == 0);
  }
  check_pieces(message, wire, status, strbuf_slice(&json));
  status = transcode_response_headers(message, wire, &arena, ignore_header, NULL);
  CHECK(status == STATUS_OK || status == STATUS_INTERNAL);
  strbuf_free(&json);
  arena_free(&arena);
}

// What passes as protobuf is passed again as it is.
static void check_filter(const struct contract_message *message, struct slice wire)
{
  struct strbuf out;
  struct strbuf again;
  struct slice passed;
  struct slice twice;
  strbuf_init(&out, 0);
  strbuf_init(&again, 0);
  if (transcode_response_to_wire(message, wire, &out, &passed) == STATUS_OK) {
    CHECK(transcode_response_to_wire(message, passed, &again, &twice) == STATUS_OK);
    CHECK(slice_equal(passed, twice));
  }
  strbuf_free(&out);
  strbuf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct slice wire = slice_make(data, size);
  for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++)
    check_message(fuzz_message(MESSAGES[i]), wire);
  check_message(fuzz_open_message(), wire);
  check_filter(fuzz_open_message(), wire);
  struct strbuf location;
  strbuf_init(&location, 0);
  const struct contract_method *create =
      contract_method_by_name(fuzz_contract(), SLICE("item.v1.ItemService/CreateItem"));
  CHECK(transcode_location(create, wire, &location) == STATUS_OK || location.size == 0);
  strbuf_free(&location);
  return 0;
}
