// Messages that clients send and get as protobuf bytes: what passes as it is, what is taken out, what is refused.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

static const char CONTRACT[] = "service S {\n"
                               "  rpc Update(UpdateRequest) returns (Thing) {\n"
                               "    option (google.api.http) = {post: \"/v1/{thing.id}\" body: \"thing\"};\n"
                               "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                               "  }\n"
                               "}\n"
                               "message UpdateRequest {\n"
                               "  string agent = 3 [(bulkhead.v1.field).from_header = \"User-Agent\"];\n"
                               "  Thing thing = 1;\n"
                               "  repeated Thing others = 2;\n"
                               "}\n"
                               "message Thing {\n"
                               "  string id = 1 [(bulkhead.v1.field) = {format: FORMAT_UUID output_only: true}];\n"
                               "  string owner = 2 [(bulkhead.v1.field).output_only = true];\n"
                               "  string name = 3;\n"
                               "  string key = 4 [(bulkhead.v1.field).secret = true];\n"
                               "  repeated int32 numbers = 5;\n"
                               "  google.protobuf.Timestamp time = 6;\n"
                               "  bytes data = 7;\n"
                               "}\n";

enum {
  THING = 1,
  OTHERS = 2,
  AGENT = 3,
  ID = 1,
  OWNER = 2,
  NAME = 3,
  KEY = 4,
  NUMBERS = 5,
  TIME = 6,
  DATA = 7,
  UNKNOWN = 99
};

static struct arena arena;
static struct strbuf wire;
static struct strbuf wanted;
static struct strbuf out;
static struct violations violations;
static const struct contract *contract;

static void setup(void)
{
  contract = fixture_contract(CONTRACT);
  arena_init(&arena);
  strbuf_init(&wire, 0);
  strbuf_init(&wanted, 0);
  strbuf_init(&out, 0);
  violations_init(&violations, &arena);
}

static void teardown(void)
{
  strbuf_free(&out);
  strbuf_free(&wanted);
  strbuf_free(&wire);
  arena_free(&arena);
}

TestSuite(wire_filter, .init = setup, .fini = teardown);

static const char *agent;

static struct slice find_header(void *arg, const char *name)
{
  (void)arg;
  return strcmp(name, "User-Agent") == 0 ? slice_from_string(agent) : (struct slice){0};
}

static enum status pass(struct slice *message)
{
  const struct transcode_wire_request request = {.method = contract_method_by_name(contract, SLICE("t.v1.S/Update")),
                                                 .wire = strbuf_slice(&wire),
                                                 .header = find_header};
  return transcode_request_from_wire(&request, &out, message, &violations);
}

static struct slice pass_request(void)
{
  struct slice message;
  cr_assert_eq(pass(&message), STATUS_OK);
  return message;
}

static struct slice pass_response(void)
{
  struct slice response;
  const struct contract_message *message = contract_message_by_name(contract, SLICE("t.v1.Thing"));
  cr_assert_eq(transcode_response_to_wire(message, strbuf_slice(&wire), &out, &response), STATUS_OK);
  return response;
}

// Refuses what is in `wire`, and says which field is wrong in which way.
static void assert_refused(const char *field, const char *description)
{
  struct slice message;
  cr_assert_eq(pass(&message), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(violations.count, 1);
  cr_expect(slice_equal_string(violations.items[0].field, field), "it names " SLICE_FMT,
            SLICE_ARG(violations.items[0].field));
  cr_expect(slice_equal_string(violations.items[0].description, description), "it says " SLICE_FMT,
            SLICE_ARG(violations.items[0].description));
}

Test(wire_filter, what_may_pass_is_not_copied)
{
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, NAME, SLICE("Lamp"));
  wire_write_bytes(&wire, NUMBERS, SLICE("\x01\xff\x01"));
  wire_write_varint(&wire, NUMBERS, 3);
  wire_write_bytes(&wire, DATA, SLICE("\xff\xfe"));
  wire_end_nested(&wire, mark);
  cr_expect_eq(pass_request().data, wire.data);
}

Test(wire_filter, what_only_the_service_sets_is_left_out_but_for_what_the_path_names)
{
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, ID, SLICE("01936B5E-7c1a-7d3e-9f00-1c2d3e4f5a6b"));
  wire_write_bytes(&wire, OWNER, SLICE("somebody else"));
  wire_write_bytes(&wire, NAME, SLICE("ABC"));
  wire_end_nested(&wire, mark);
  mark = wire_begin_nested(&wire, OTHERS);
  wire_write_bytes(&wire, ID, SLICE("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"));
  wire_end_nested(&wire, mark);
  wire_write_varint(&wire, UNKNOWN, 1);
  mark = wire_begin_nested(&wanted, THING);
  wire_write_bytes(&wanted, ID, SLICE("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"));
  wire_write_bytes(&wanted, NAME, SLICE("ABC"));
  wire_end_nested(&wanted, mark);
  wire_end_nested(&wanted, wire_begin_nested(&wanted, OTHERS));
  cr_expect(slice_equal(pass_request(), strbuf_slice(&wanted)));
}

Test(wire_filter, what_a_header_fills_is_taken_from_there_unless_the_message_has_it)
{
  agent = "curl/8";
  wire_write_bytes(&wanted, AGENT, SLICE("curl/8"));
  cr_expect(slice_equal(pass_request(), strbuf_slice(&wanted)));
  wire_write_bytes(&wire, AGENT, SLICE("my own"));
  cr_expect(slice_equal(pass_request(), strbuf_slice(&wire)));
  strbuf_clear(&wire);
  agent = "\xff";
  cr_expect_eq(pass_request().size, 0, "what is no text is left out");
}

Test(wire_filter, a_response_leaves_without_secrets_and_what_the_contract_does_not_have)
{
  wire_write_bytes(&wire, OWNER, SLICE("me"));
  wire_write_bytes(&wire, KEY, SLICE("hidden"));
  wire_write_bytes(&wire, UNKNOWN, SLICE("of a newer release"));
  wire_write_bytes(&wanted, OWNER, SLICE("me"));
  cr_expect(slice_equal(pass_response(), strbuf_slice(&wanted)));
}

Test(wire_filter, bytes_that_are_no_message_are_refused)
{
  strbuf_add(&wire, SLICE("\x0a\x7f"));
  assert_refused("", "is not a protobuf message of its type");
}

Test(wire_filter, a_value_of_another_type_is_refused)
{
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_varint(&wire, NAME, 1);
  wire_end_nested(&wire, mark);
  assert_refused("thing.name", "is not of its type in the contract");
}

Test(wire_filter, a_text_that_is_not_utf_8_is_refused)
{
  size_t mark = wire_begin_nested(&wire, OTHERS);
  wire_write_bytes(&wire, NAME, SLICE("\xff"));
  wire_end_nested(&wire, mark);
  assert_refused("others.name", "must be valid UTF-8");
}

Test(wire_filter, a_text_that_c_would_cut_is_refused)
{
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, NAME, SLICE("good\0bad"));
  wire_end_nested(&wire, mark);
  assert_refused("thing.name", "must not contain U+0000");
}

Test(wire_filter, packed_numbers_that_break_off_are_refused)
{
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, NUMBERS, SLICE("\x01\xff"));
  wire_end_nested(&wire, mark);
  assert_refused("thing.numbers", "is not a list of numbers of its type");
}

Test(wire_filter, a_time_that_no_calendar_has_is_refused)
{
  size_t mark = wire_begin_nested(&wire, THING);
  size_t time = wire_begin_nested(&wire, TIME);
  wire_write_varint(&wire, 1, UINT64_C(1) << 60);
  wire_end_nested(&wire, time);
  wire_end_nested(&wire, mark);
  assert_refused("thing.time", "is not within the bounds of its type");
}

// protobuf-c merges the repetitions of a message, which takes memory by the square of their number.
Test(wire_filter, a_message_that_is_given_twice_is_refused)
{
  wire_end_nested(&wire, wire_begin_nested(&wire, THING));
  wire_end_nested(&wire, wire_begin_nested(&wire, THING));
  assert_refused("thing", "must not be given twice");
}

Test(wire_filter, lists_are_bounded_before_a_service_makes_room_for_them)
{
  for (int i = 0; i < 1001; i++)
    wire_end_nested(&wire, wire_begin_nested(&wire, OTHERS));
  assert_refused("others", "must have at most 1000 items");
}

Test(wire_filter, packed_numbers_count_as_the_items_that_they_are)
{
  static const char numbers[1001] = {0};
  size_t mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, NUMBERS, slice_make(numbers, 1000));
  wire_end_nested(&wire, mark);
  (void)pass_request();
  strbuf_clear(&wire);
  mark = wire_begin_nested(&wire, THING);
  wire_write_bytes(&wire, NUMBERS, slice_make(numbers, 1000));
  wire_write_varint(&wire, NUMBERS, 1);
  wire_end_nested(&wire, mark);
  assert_refused("thing.numbers", "must have at most 1000 items");
}
