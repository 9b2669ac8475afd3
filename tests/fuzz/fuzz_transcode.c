// Any bytes as JSON for a request message. What is accepted must come back as the same wire bytes once it has been
// written out as JSON and read again, except for fields that are never written out.
#include "tests/fuzz/fuzz_contract.h"
#include "tests/support/contract/json_body.h"

static const char *const MESSAGES[] = {
    "item.v1.BatchCreateItemsRequest",
    "item.v1.UpdateItemRequest",
    "item.v1.ListItemsRequest",
    "auth.v1.LoginRequest",
};

static enum status read_json(const struct contract_message *message, struct slice json, struct strbuf *wire)
{
  struct arena arena;
  struct violations violations;
  arena_init(&arena);
  violations_init(&violations, &arena);
  enum status status = json_body_to_wire(message, json, &arena, wire, &violations);
  CHECK((status == STATUS_OK) == (violations.count == 0));
  arena_free(&arena);
  return status;
}

// Whether a message has a field that is not read from what is written: a secret, which is never written, or one that
// comes in a header only.
static bool has_one_way_field(const struct contract_message *message)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i].rules.secret || message->fields[i].rules.from_header != NULL)
      return true;
  return false;
}

static void check_message(const struct contract_message *message, struct slice input)
{
  struct strbuf wire;
  struct strbuf json;
  struct strbuf json_again;
  struct strbuf again;
  strbuf_init(&wire, 0);
  strbuf_init(&json, 0);
  strbuf_init(&json_again, 0);
  strbuf_init(&again, 0);
  if (read_json(message, input, &wire) == STATUS_OK) {
    CHECK(transcode_wire_to_json(message, strbuf_slice(&wire), &json) == STATUS_OK);
    if (read_json(message, strbuf_slice(&json), &again) == STATUS_OK) {
      CHECK(transcode_wire_to_json(message, strbuf_slice(&again), &json_again) == STATUS_OK);
      CHECK(slice_equal(strbuf_slice(&json), strbuf_slice(&json_again)));
      // The second text has its fields in order, so it is a fixed point of the wire bytes as well.
      strbuf_clear(&wire);
      CHECK(read_json(message, strbuf_slice(&json_again), &wire) == STATUS_OK);
      CHECK(slice_equal(strbuf_slice(&wire), strbuf_slice(&again)));
    } else {
      CHECK(has_one_way_field(message));
    }
  }
  strbuf_free(&wire);
  strbuf_free(&json);
  strbuf_free(&json_again);
  strbuf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++)
    check_message(fuzz_message(MESSAGES[i]), slice_make(data, size));
  check_message(fuzz_open_message(), slice_make(data, size));
  return 0;
}
