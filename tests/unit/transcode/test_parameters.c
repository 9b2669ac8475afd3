// Query parameters of types that JSON writes in a form of its own, and lists of them.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

static struct exchange get(const char *path, const char *query)
{
  return (struct exchange){.http_method = "GET", .path = path, .query = query};
}

static const char WELL_KNOWN[] =
    "service S { rpc Get(Q) returns (Q) { option (google.api.http) = {get: \"/v1/q\"};"
    " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
    "enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_BLUE = 1; COLOUR_DARK = -1; }\n"
    "message Part { repeated google.protobuf.Timestamp times = 1; }\n"
    "message Q { repeated google.protobuf.Timestamp times = 1 [(bulkhead.v1.field).max_items = 2];"
    " repeated google.protobuf.Duration spans = 2; repeated google.protobuf.StringValue words = 3;"
    " repeated google.protobuf.Int64Value numbers = 4; repeated google.protobuf.FieldMask masks = 5;"
    " google.protobuf.FieldMask mask = 6; repeated Colour colours = 7; Colour colour = 8; Part part = 9;"
    " google.protobuf.BoolValue flag = 10; repeated Part parts = 11; google.protobuf.Empty empty = 12;"
    " repeated google.protobuf.BytesValue blobs = 13; }\n";

#define NO_LISTS "\"times\":[],\"spans\":[],\"words\":[],\"numbers\":[],\"masks\":[],\"colours\":[],"

Test(parameters, may_be_lists_of_well_known_types)
{
  const struct contract *contract = fixture_contract(WELL_KNOWN);
  fixture_expect_json(
      contract,
      get("/v1/q", "times=2026-01-02T03:04:05Z&spans=1.5s&times=1970-01-01T00:00:00Z&spans=-0.001s&words=a&words="
                   "&numbers=-7&numbers=0&masks=a,bC&masks=b_c&blobs=aGk"),
      "{\"times\":[\"2026-01-02T03:04:05Z\",\"1970-01-01T00:00:00Z\"],\"spans\":[\"1.500s\",\"-0.001s\"],"
      "\"words\":[\"a\",\"\"],\"numbers\":[\"-7\",\"0\"],\"masks\":[\"a,bC\",\"bC\"],\"colours\":[],"
      "\"colour\":\"COLOUR_UNSPECIFIED\",\"parts\":[],\"blobs\":[\"aGk=\"]}");
  fixture_expect_json(contract, get("/v1/q", "part.times=2026-01-02T03:04:05%2B01:00"),
                      "{" NO_LISTS "\"colour\":\"COLOUR_UNSPECIFIED\",\"part\":{\"times\":[\"2026-01-02T02:04:05Z\"]},"
                      "\"parts\":[],\"blobs\":[]}");
  fixture_expect_violations(contract,
                            get("/v1/q", "times=x&spans=1&words=%ff&numbers=1.5&parts=a&parts.times=a&empty="),
                            "parts: is not a parameter that is known here\n"
                            "parts.times: is not a parameter that is known here\n"
                            "empty: is not a parameter that is known here\n"
                            "times: must be a time, such as 2026-01-02T03:04:05Z\n"
                            "spans: must be seconds with an s, such as 1.5s\n"
                            "words: must be valid UTF-8\n"
                            "numbers: must be a whole number of 64 bits");
  fixture_expect_violations(
      contract, get("/v1/q", "times=1970-01-01T00:00:00Z&times=1970-01-01T00:00:01Z&times=2026-01-01T00:00:00Z"),
      "times: must have at most 2 items");
}

Test(parameters, have_both_spellings_of_masks_and_of_enums)
{
  const struct contract *contract = fixture_contract(WELL_KNOWN);
  fixture_expect_json(contract,
                      get("/v1/q", "mask=displayName,part.times&flag=false&colour=-1&colours=COLOUR_BLUE&colours=1"),
                      "{\"times\":[],\"spans\":[],\"words\":[],\"numbers\":[],\"masks\":[],"
                      "\"mask\":\"displayName,part.times\",\"colours\":[\"COLOUR_BLUE\",\"COLOUR_BLUE\"],"
                      "\"colour\":\"COLOUR_DARK\",\"flag\":false,\"parts\":[],\"blobs\":[]}");
  struct outcome camel = fixture_request(contract, get("/v1/q", "mask=displayName,partOfIt.createTime"));
  struct outcome snake = fixture_request(contract, get("/v1/q", "mask=display_name%2Cpart_of_it.create_time"));
  cr_assert_eq(snake.status, STATUS_OK, "%s", snake.violations);
  cr_expect(slice_equal(camel.wire, snake.wire));
  fixture_expect_violations(contract, get("/v1/q", "mask=Name&colour=COLOUR_GREEN&flag=1"),
                            "mask: must be field paths separated by commas, such as name,createTime\n"
                            "colour: must be one of: COLOUR_DARK, COLOUR_UNSPECIFIED, COLOUR_BLUE\n"
                            "flag: must be true or false");
}
