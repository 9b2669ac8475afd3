// A contract may send any number of its reply's fields in headers.
#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/fixture.h"

#define FIELDS 40

static struct fixture *open_with_many_fields(void)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "message Request {}\nservice ManyService {\n"
                           "rpc GetMany(Request) returns (Reply) { option (google.api.http) = {get: \"/v1/many\"};\n"
                           "option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\nmessage Reply {\n");
  for (int i = 1; i <= FIELDS; i++)
    strbuf_printf(&text, "string field%d = %d [(bulkhead.v1.field) = {to_header: \"X-Field-%d\"}];\n", i, i, i);
  strbuf_add_string(&text, "}\n");
  struct fixture *fixture = fixture_open_with(strbuf_cstring(&text));
  strbuf_free(&text);
  return fixture;
}

Test(many_headers, every_field_of_the_reply_reaches_its_header)
{
  struct fixture *fixture = open_with_many_fields();
  fixture_give_keys(fixture);
  struct exchange *exchange = fixture_exchange(fixture);
  struct exchange_input input = fixture_input("GET", "/v1/many");
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  struct strbuf wire;
  strbuf_init(&wire, 0);
  char value[32];
  for (uint32_t i = 1; i <= FIELDS; i++)
    wire_write_bytes(&wire, i, slice_make(value, (size_t)snprintf(value, sizeof(value), "value-%u", i)));
  fixture_answer(fixture_call(fixture, 1), strbuf_slice(&wire));
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_assert_eq(reply->http_status, 200);
  char name[32];
  for (int i = 1; i <= FIELDS; i++) {
    snprintf(name, sizeof(name), "X-Field-%d", i);
    snprintf(value, sizeof(value), "value-%d", i);
    cr_expect(slice_equal_string(fixture_header(reply, name), value), "%s", name);
  }
  strbuf_free(&wire);
  exchange_close(&exchange);
  fixture_close(fixture);
}
