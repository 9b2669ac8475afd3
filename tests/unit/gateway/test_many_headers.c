// A contract may send any number of its reply's fields in headers.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/fixture.h"

#define FIELDS 40

// A folder with a contract whose reply has FIELDS fields in headers, compiled with auth's, which the gateway needs.
static void make_protoset(const char *folder)
{
  char text[512];
  snprintf(text, sizeof(text), "%s/many.proto", folder);
  FILE *file = fopen(text, "w");
  cr_assert_not_null(file);
  fputs("syntax = \"proto3\";\npackage many.v1;\nimport \"bulkhead/v1/options.proto\";\n"
        "import \"google/api/annotations.proto\";\nmessage Request {}\nservice ManyService {\n"
        "rpc GetMany(Request) returns (Reply) { option (google.api.http) = {get: \"/v1/many\"};\n"
        "option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\nmessage Reply {\n",
        file);
  for (int i = 1; i <= FIELDS; i++)
    fprintf(file, "string field%d = %d [(bulkhead.v1.field) = {to_header: \"X-Field-%d\"}];\n", i, i, i);
  fputs("}\n", file);
  cr_assert_eq(fclose(file), 0);
  snprintf(text, sizeof(text),
           "protoc -I%s -Iproto -I/usr/include --include_imports --descriptor_set_out=%s/set many.proto "
           "auth/v1/auth.proto",
           folder, folder);
  cr_assert_eq(system(text), 0);
  snprintf(text, sizeof(text), "%s/set", folder);
  cr_assert_eq(setenv("BULKHEAD_PROTOSET", text, 1), 0);
}

static void remove_protoset(const char *folder)
{
  static const char *const FILES[] = {"many.proto", "set"};
  char path[128];
  for (size_t i = 0; i < 2; i++) {
    snprintf(path, sizeof(path), "%s/%s", folder, FILES[i]);
    unlink(path);
  }
  rmdir(folder);
}

Test(many_headers, every_field_of_the_reply_reaches_its_header)
{
  char folder[] = "/tmp/bulkhead-headers-XXXXXX";
  cr_assert_not_null(mkdtemp(folder));
  make_protoset(folder);
  struct fixture *fixture = fixture_open();
  remove_protoset(folder);
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
