// What leaves a response as header fields and as its Location.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

static const char CONTRACT[] =
    "service S {\n"
    "  rpc Create(Thing) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/things\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC location: \"/v1/{shelf}/things/{id}\"};\n"
    "  }\n"
    "  rpc Add(Thing) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/notes\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC location: \"/v1/things/{id}/notes\"};\n"
    "  }\n"
    "  rpc Start(Thing) returns (Thing) {\n"
    "    option (google.api.http) = {post: \"/v1/start\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC location: \"/v1/started\"};\n"
    "  }\n"
    "  rpc Get(Thing) returns (Thing) {\n"
    "    option (google.api.http) = {get: \"/v1/things\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message Thing {\n"
    "  string id = 1;\n"
    "  string shelf = 2;\n"
    "  string etag = 3 [(bulkhead.v1.field).to_header = \"etag\"];\n"
    "  string note = 4 [(bulkhead.v1.field).to_header = \"X-Note\"];\n"
    "}\n";

enum { ID = 1, SHELF = 2, ETAG = 3, NOTE = 4 };

static struct arena arena;
static struct strbuf wire;
static struct strbuf out;

static void setup(void)
{
  arena_init(&arena);
  strbuf_init(&wire, 0);
  strbuf_init(&out, 0);
}

static void teardown(void)
{
  strbuf_free(&out);
  strbuf_free(&wire);
  arena_free(&arena);
}

TestSuite(response_parts, .init = setup, .fini = teardown);

static const struct contract_method *method_of(const char *full_name)
{
  static const struct contract *contract;
  if (contract == NULL)
    contract = fixture_contract(CONTRACT);
  const struct contract_method *method = contract_method_by_name(contract, slice_from_string(full_name));
  cr_assert_not_null(method);
  return method;
}

static void note_header(void *arg, const char *name, struct slice value)
{
  strbuf_printf(arg, "%s=" SLICE_FMT ";", name, SLICE_ARG(value));
}

static enum status read_headers(void)
{
  strbuf_clear(&out);
  return transcode_response_headers(method_of("t.v1.S/Get")->output, strbuf_slice(&wire), &arena, note_header, &out);
}

// Returns the headers of a response whose only field is this one; NULL where the response is refused.
static const char *headers_of(uint32_t number, struct slice value)
{
  strbuf_clear(&wire);
  wire_write_bytes(&wire, number, value);
  enum status status = read_headers();
  cr_assert(status == STATUS_OK || status == STATUS_INTERNAL);
  return status == STATUS_OK ? strbuf_cstring(&out) : NULL;
}

Test(response_parts, fields_become_headers_and_an_etag_gets_quotes)
{
  wire_write_bytes(&wire, NOTE, SLICE("a \"note\" of ~ all sorts!"));
  wire_write_bytes(&wire, ETAG, SLICE("v7"));
  cr_assert_eq(read_headers(), STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&out), "etag=\"v7\";X-Note=a \"note\" of ~ all sorts!;");
}

Test(response_parts, an_empty_field_makes_no_header)
{
  cr_assert_eq(read_headers(), STATUS_OK);
  cr_assert_eq(out.size, 0);
  cr_assert_str_eq(headers_of(ETAG, SLICE("")), "");
}

Test(response_parts, the_last_value_counts)
{
  wire_write_bytes(&wire, NOTE, SLICE("first"));
  wire_write_bytes(&wire, ID, SLICE("x"));
  wire_write_bytes(&wire, NOTE, SLICE("last"));
  cr_assert_eq(read_headers(), STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&out), "X-Note=last;");
}

Test(response_parts, a_value_that_would_write_headers_of_its_own_is_refused)
{
  for (unsigned byte = 0; byte < 256; byte++) {
    char text[] = {'a', (char)byte, 'b'};
    bool visible = byte >= 0x20 && byte < 0x7F;
    cr_expect_eq(headers_of(NOTE, slice_make(text, 3)) != NULL, visible, "byte %u in the middle", byte);
    cr_expect_eq(headers_of(NOTE, slice_make(text + 1, 1)) != NULL, visible, "byte %u alone", byte);
    cr_expect_eq(headers_of(NOTE, slice_make(text, 2)) != NULL, visible, "byte %u at the end", byte);
  }
}

Test(response_parts, an_etag_holds_no_quote_and_no_space)
{
  cr_assert_null(headers_of(ETAG, SLICE("a\"b")));
  cr_assert_null(headers_of(ETAG, SLICE("a b")));
  cr_assert_null(headers_of(ETAG, SLICE("a\r\nX-Evil: 1")));
  cr_assert_str_eq(headers_of(ETAG, SLICE("!#~")), "etag=\"!#~\";");
}

Test(response_parts, bytes_that_are_no_message_are_refused)
{
  wire_write_varint(&wire, NOTE, 7);
  cr_expect_eq(read_headers(), STATUS_INTERNAL);
  strbuf_clear(&wire);
  wire_write_bytes(&wire, NOTE, SLICE("a"));
  strbuf_add(&wire, SLICE("\x0a\x05"));
  cr_expect_eq(read_headers(), STATUS_INTERNAL);
}

// ---- location ----

static enum status read_location(const char *method)
{
  return transcode_location(method_of(method), strbuf_slice(&wire), &out);
}

Test(response_parts, a_location_is_its_template_with_encoded_values)
{
  wire_write_bytes(&wire, ID, SLICE("1"));
  wire_write_bytes(&wire, SHELF, SLICE("a/b c\r\n?"));
  strbuf_add_string(&out, "https://x");
  cr_assert_eq(read_location("t.v1.S/Create"), STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&out), "https://x/v1/a%2Fb%20c%0D%0A%3F/things/1");
}

Test(response_parts, a_location_may_end_in_a_fixed_part_or_be_fixed)
{
  wire_write_bytes(&wire, ID, SLICE("1"));
  cr_assert_eq(read_location("t.v1.S/Add"), STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&out), "/v1/things/1/notes");
  strbuf_clear(&out);
  cr_assert_eq(read_location("t.v1.S/Start"), STATUS_OK);
  cr_assert_str_eq(strbuf_cstring(&out), "/v1/started");
}

Test(response_parts, a_method_without_location_has_none)
{
  wire_write_bytes(&wire, ID, SLICE("1"));
  cr_assert_eq(read_location("t.v1.S/Get"), STATUS_OK);
  cr_assert_eq(out.size, 0);
}

Test(response_parts, a_location_that_lacks_a_value_is_refused_and_leaves_nothing)
{
  strbuf_add_string(&out, "before");
  wire_write_bytes(&wire, SHELF, SLICE("s"));
  cr_expect_eq(read_location("t.v1.S/Create"), STATUS_INTERNAL);
  cr_expect_str_eq(strbuf_cstring(&out), "before");
  wire_write_varint(&wire, ID, 1);
  cr_expect_eq(read_location("t.v1.S/Create"), STATUS_INTERNAL);
  cr_expect_str_eq(strbuf_cstring(&out), "before");
}
