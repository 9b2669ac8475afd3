// What the build says about changes to released contracts. Each case changes one line of data/released.proto.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/plugin/command.h"

#define RELEASED "tests/unit/plugin/data/released.proto"
#define NOTHING NULL

struct change {
  const char *from;
  const char *to;
  const char *first;   // the diagnostic without its place; NOTHING for a change that breaks no client
  const char *second;  // a second diagnostic; NULL when there is one only
};

static const struct change CHANGES[] = {
    // Changes that break no client.
    {"  string note = 11;", "  string note = 11;\n  string more = 12;", NOTHING, NULL},
    {"  COLOUR_BLUE = 2;", "  COLOUR_BLUE = 2;\n  COLOUR_GREEN = 3;", NOTHING, NULL},
    {"max_length: 100", "max_length: 200", NOTHING, NULL},
    {"access: ACCESS_AUTHENTICATED", "access: ACCESS_PUBLIC max_body_bytes: 524288", NOTHING, NULL},
    {"message Unused {\n  string text = 1;", "message Unused {\n  int32 number = 2;", NOTHING, NULL},
    {"  string text = 1;\n}\n\nmessage CountReply", "  string words = 1;\n}\n\nmessage CountReply", NOTHING, NULL},
    {"  string name = 1;\n  Filter filter", "  reserved 1;\n  Filter filter", NOTHING, NULL},
    {"get: \"/v1/things/{id}\"", "get: \"/v1/things/{id=*}\" additional_bindings {get: \"/v2/things/{id}\"}", NOTHING,
     NULL},
    {"message CloseShopRequest {", "message Request {\n  string reason = 1;\n}\n\nmessage CloseShopRequest {", NOTHING,
     NULL},
    {"package shop.v1;", "package shop.v2;", NOTHING, NULL},
    {"  oneof range {", "  oneof span {", NOTHING, NULL},
    {"    int64 until = 2;", "    int64 until = 2;\n    int64 around = 3;", NOTHING, NULL},
    {"access: ACCESS_ROLE roles: \"admin\" roles: \"owner\" max_auth_age_s: 600",
     "access: ACCESS_ROLE roles: \"admin\" roles: \"owner\" max_auth_age_s: 900", NOTHING, NULL},
    {"access: ACCESS_ROLE roles: \"admin\" roles: \"owner\" max_auth_age_s: 600",
     "access: ACCESS_ROLE roles: \"admin\" roles: \"owner\"", NOTHING, NULL},
    // Changes that break the wire format.
    {"returns (CountReply)", "returns (stream CountReply)",
     "shop.v1.ShopService.CountThings: stream was added or taken away; RPC clients that call the method are answered "
     "UNIMPLEMENTED; restore it, and add a method beside it",
     NULL},
    {"(CountRequest) returns", "(stream CountRequest) returns",
     "shop.v1.ShopService.CountThings: stream was added or taken away; RPC clients that call the method are answered "
     "UNIMPLEMENTED; restore it, and add a method beside it",
     NULL},
    {"int32 count = 3 [(bulkhead.v1.field) = {minimum: {value: 0} maximum: {value: 9}}]", "string count = 3",
     "shop.v1.Thing.count: the type of field 3 changed from int32 to string; RPC and REST clients send and read the "
     "old "
     "one; restore it",
     NULL},
    {"  int64 count = 1;", "  repeated int64 count = 1;",
     "shop.v1.CountReply.count: the type of field 1 changed from int64 to repeated int64; RPC clients send and read "
     "the "
     "old one; restore it",
     NULL},
    {"string note = 11;", "string note = 12;",
     "shop.v1.Thing.note: the number changed from 11 to 12; RPC clients send and read the old one; restore it", NULL},
    {"  string name = 1;\n  Filter filter", "  Filter filter",
     "shop.v1.CountRequest: field 1 (name) was removed and its number is free; RPC clients that send it are misread "
     "when "
     "another field takes the number; write reserved 1;",
     NULL},
    {"  COLOUR_BLUE = 2;", "  COLOUR_BLUE = 3;",
     "shop.v1.Colour: the number of COLOUR_BLUE changed from 2 to 3; RPC clients send and read the old one; restore it",
     NULL},
    {"  COLOUR_BLUE = 2;\n", "  reserved 2;\n",
     "shop.v1.Colour: the value COLOUR_BLUE (2) was removed; RPC and REST clients that send it are refused; keep it",
     NULL},
    {"    string right = 10;\n  }\n  string note = 11;", "    string right = 10;\n    string note = 11;\n  }\n",
     "shop.v1.Thing.note: the field moved into the oneof kind; RPC and REST clients that set another of its fields, "
     "too, "
     "lose one; take it out",
     NULL},
    {"rpc CountThings(", "rpc CountAll(",
     "shop.v1.ShopService.CountThings: the method is gone; RPC clients that call it are answered UNIMPLEMENTED; keep "
     "it",
     NULL},
    {"package shop.v1;", "package store.v2;",
     "shop.v1.ShopService.GetThing: the method is gone; RPC clients that call it are answered UNIMPLEMENTED; keep it",
     "shop.v1.ShopService.CloseShop: the method is gone; RPC clients that call it are answered UNIMPLEMENTED; keep it"},
    // Changes that break JSON.
    {"  string note = 11;", "  reserved 11;",
     "shop.v1.Thing: field 11 (note) was removed; REST clients that send it are answered 400; keep it", NULL},
    {"  string note = 11;", "  string remark = 11;",
     "shop.v1.Thing.remark: the JSON name of field 11 changed from note to remark; REST clients send and read the old "
     "one; restore it, or write json_name = \"note\"",
     NULL},
    {"  COLOUR_BLUE = 2;", "  COLOUR_NAVY = 2;",
     "shop.v1.Colour: the value COLOUR_BLUE (2) was renamed; REST clients send and read the old name; restore it",
     NULL},
    {"  string note = 11;", "  optional string note = 11;",
     "shop.v1.Thing.note: the field became optional; REST clients that read it rely on its being there; take optional "
     "back",
     NULL},
    {"  string note = 11;", "  string note = 11 [(bulkhead.v1.field) = {secret: true}];",
     "shop.v1.Thing.note: the field became a secret; REST clients that read it do not get it any more; keep it "
     "readable",
     NULL},
    // Changes of routes.
    {"get: \"/v1/things/{id}\"", "get: \"/v1/thing/{id}\"",
     "shop.v1.ShopService.GetThing: the route GET /v1/things/{id} is gone; REST clients that call it are answered 404 "
     "or "
     "405; keep it (a new one can stand beside it in additional_bindings)",
     NULL},
    {"{post: \"/v1/things\" body: \"thing\"}", "{put: \"/v1/things\" body: \"thing\"}",
     "shop.v1.ShopService.CreateThing: the route POST /v1/things is gone;", NULL},
    {"get: \"/v1/things/{id}\"", "get: \"/v1/things/{id=**}\"",
     "shop.v1.ShopService.GetThing: the route GET /v1/things/{id} is gone;", NULL},
    {"{post: \"/v1/things\" body: \"thing\"}", "{post: \"/v1/things\" body: \"*\"}",
     "shop.v1.ShopService.CreateThing: POST /v1/things takes another body than the released one; REST clients send the "
     "old one; restore body",
     NULL},
    {"body: \"*\"}", "body: \"*\" response_body: \"request\"}",
     "shop.v1.ShopService.CloseShop: POST /v1/shop:close answers with another body; REST clients read the old one; "
     "restore response_body",
     NULL},
    {"max_auth_age_s: 600", "max_auth_age_s: 300",
     "shop.v1.ShopService.CloseShop: max_auth_age_s was added or lowered; RPC and REST clients whose user has logged "
     "in longer "
     "ago are refused; restore it",
     NULL},
    {"access: ACCESS_AUTHENTICATED success_status", "access: ACCESS_AUTHENTICATED max_auth_age_s: 600 success_status",
     "shop.v1.ShopService.CreateThing: max_auth_age_s was added or lowered; RPC and REST clients whose user has logged "
     "in "
     "longer ago are refused; restore it",
     NULL},
    {"success_status: 201 ", "success_status: 201 max_body_bytes: 1000 ",
     "shop.v1.ShopService.CreateThing: max_body_bytes fell from 524288 to 1000; REST clients that send larger bodies "
     "are "
     "refused; restore it",
     NULL},
    {"success_status: 201 ", "success_status: 201 max_body_bytes: 1000000 ", NOTHING, NULL},
    {"success_status: 201 ", "",
     "shop.v1.ShopService.CreateThing: success_status changed from 201 to 200; REST clients expect the old one; "
     "restore "
     "it",
     NULL},
    {" location: \"/v1/things/{id}\"", "",
     "shop.v1.ShopService.CreateThing: the reply has no Location any more; REST clients follow it; restore location",
     NULL},
    {"to_header: \"ETag\"", "max_length: 65536",
     "shop.v1.Thing.etag: to_header ETag is gone; REST clients use that header; restore it", NULL},
    {"from_header: \"If-Match\"", "from_header: \"X-Match\"",
     "shop.v1.GetThingRequest.if_match: from_header If-Match is gone; REST clients use that header; restore it", NULL},
    // Changes of access.
    {"access: ACCESS_PUBLIC", "access: ACCESS_AUTHENTICATED",
     "shop.v1.ShopService.GetThing: the access was tightened from ACCESS_PUBLIC to ACCESS_AUTHENTICATED; RPC and REST "
     "clients that were let in are refused; restore it",
     NULL},
    {"access: ACCESS_INTERNAL", "access: ACCESS_AUTHENTICATED",
     "shop.v1.ShopService.CountThings: the access was tightened from ACCESS_INTERNAL to ACCESS_AUTHENTICATED; RPC "
     "clients "
     "that were let in are refused; restore it",
     NULL},
    {" roles: \"owner\"", "",
     "shop.v1.ShopService.CloseShop: the role owner may not call any more; RPC and REST clients that hold it are "
     "refused; "
     "restore it",
     NULL},
    {"callers: \"gateway\" callers", "callers",
     "shop.v1.ShopService.CountThings: callers names \"gateway\" no more; its calls are refused; restore it", NULL},
    // Changes of rules.
    {"string note = 11;", "string note = 11 [(bulkhead.v1.field) = {required: true}];",
     "shop.v1.Thing.note: the field is required now; RPC and REST clients that leave it out are refused; take it back",
     NULL},
    {"  string note = 11;", "  string note = 11;\n  string more = 12 [(bulkhead.v1.field) = {required: true}];",
     "shop.v1.Thing.more: the new field must be sent; RPC and REST clients that do not know it are refused; make it "
     "optional, or take the rule back",
     NULL},
    {"  string note = 11;", "  string note = 11;\n  int32 more = 12 [(bulkhead.v1.field) = {minimum: {value: 1}}];",
     "shop.v1.Thing.more: the new field must be sent;", NULL},
    {"string note = 11;", "string note = 11 [(bulkhead.v1.field) = {immutable: true}];",
     "shop.v1.Thing.note: the field is immutable now; RPC and REST clients that change it are refused; take it back",
     NULL},
    {"string note = 11;", "string note = 11 [(bulkhead.v1.field) = {output_only: true}];",
     "shop.v1.Thing.note: the field is output_only now; RPC and REST clients that send it find their value ignored; "
     "take it back",
     NULL},
    {"string note = 11;", "string note = 11 [(bulkhead.v1.field) = {format: FORMAT_LINE}];",
     "shop.v1.Thing.note: format was added or changed;", NULL},
    {"min_length: 2", "min_length: 3", "shop.v1.Thing.name: min_length was raised;", NULL},
    {"max_length: 100", "max_length: 99", "shop.v1.Thing.name: max_length was lowered;", NULL},
    {"min_items: 1", "min_items: 2", "shop.v1.Thing.tags: min_items was raised;", NULL},
    {"max_items: 9", "max_items: 8", "shop.v1.Thing.tags: max_items was lowered;", NULL},
    {"min_items: 1", "min_items: 1 unique_items: true", "shop.v1.Thing.tags: unique_items was added;", NULL},
    {"minimum: {value: 0} maximum: {value: 9}", "minimum: {value: 1} maximum: {value: 9}",
     "shop.v1.Thing.count: minimum was added or raised;", NULL},
    {"maximum: {value: 9}", "maximum: {value: 8}", "shop.v1.Thing.count: maximum was added or lowered;", NULL},
    {" one_of: \"down\"", "", "shop.v1.Thing.order: one_of accepts less;", NULL},
    {"optional int32 weight", "int32 weight", "shop.v1.Thing.weight: the field is not optional any more,", NULL},
    {"  oneof kind {", "  oneof kind {\n    option (bulkhead.v1.oneof) = {required: true};",
     "shop.v1.Thing: the oneof kind is required now; RPC and REST clients that leave it out are refused; take required "
     "back",
     NULL},
    {"    int64 until = 2;\n  }", "  }\n  oneof other {\n    int64 until = 2;\n  }",
     "shop.v1.Range: the oneof range is required now; RPC clients that leave it out are refused; take required back",
     NULL},
};

static void write_changed(const char *folder, const struct change *change)
{
  struct strbuf text;
  struct strbuf changed;
  strbuf_init(&text, 0);
  strbuf_init(&changed, 0);
  cr_assert(strbuf_read_file(&text, RELEASED));
  const char *all = strbuf_cstring(&text);
  const char *place = strstr(all, change->from);
  cr_assert(place != NULL, "released.proto has no %s", change->from);
  strbuf_add(&changed, slice_make(all, (size_t)(place - all)));
  strbuf_add_string(&changed, change->to);
  strbuf_add_string(&changed, place + strlen(change->from));
  command_write_file(folder, "released.proto", strbuf_cstring(&changed), changed.size);
  strbuf_free(&changed);
  strbuf_free(&text);
}

static size_t count_mistakes(const char *output)
{
  size_t count = 0;
  for (const char *at = output; (at = strstr(at, "released.proto:")) != NULL; at++)
    if (at == output || at[-1] == '\n')
      count++;
  return count;
}

static void check_change(const struct change *change, const char *folder, struct strbuf *output)
{
  write_changed(folder, change);
  int code = command_run(output,
                         "cd %s && protoc -I. -I$OLDPWD/proto --include_imports --include_source_info "
                         "--descriptor_set_out=new released.proto && cd $OLDPWD && "
                         "%s/protoc-gen-bulkhead check %s/new %s/old",
                         folder, command_bin(), folder, folder);
  const char *said = strbuf_cstring(output);
  if (change->first == NOTHING) {
    cr_expect(code == 0, "%s -> %s: %s", change->from, change->to, said);
    return;
  }
  cr_expect(code == 1, "%s -> %s: accepted %s", change->from, change->to, said);
  cr_expect(strstr(said, change->first) != NULL, "%s -> %s: %s", change->from, change->to, said);
  if (change->second != NULL)
    cr_expect(strstr(said, change->second) != NULL, "%s -> %s: %s", change->from, change->to, said);
  else
    cr_expect(count_mistakes(said) == 1, "%s -> %s: %s", change->from, change->to, said);
}

Test(breaking, every_kind_of_change_is_named_with_the_clients_that_it_breaks)
{
  char folder[64];
  struct strbuf output;
  command_make_folder(folder);
  strbuf_init(&output, 0);
  cr_assert_eq(command_run(&output,
                           "protoc -Itests/unit/plugin/data -Iproto --include_imports --descriptor_set_out=%s/old "
                           "released.proto",
                           folder),
               0, "%s", strbuf_cstring(&output));
  for (size_t i = 0; i < ARRAY_LEN(CHANGES); i++)
    check_change(&CHANGES[i], folder, &output);
  strbuf_free(&output);
  command_remove_folder(folder);
}

Test(breaking, says_where_and_what_to_do)
{
  static const struct change CHANGE = {"string note = 11;", "string note = 12;", NULL, NULL};
  char folder[64];
  struct strbuf output;
  command_make_folder(folder);
  strbuf_init(&output, 0);
  write_changed(folder, &CHANGE);
  int code = command_run(&output,
                         "protoc -Itests/unit/plugin/data -Iproto --include_imports --descriptor_set_out=%s/old "
                         "released.proto; protoc -I%s -Iproto --include_imports --include_source_info "
                         "--descriptor_set_out=%s/new released.proto; %s/protoc-gen-bulkhead check %s/new %s/old",
                         folder, folder, folder, command_bin(), folder, folder);
  cr_expect_eq(code, 1);
  cr_expect(strncmp(strbuf_cstring(&output), "released.proto:46:3: shop.v1.Thing.note: the number", 50) == 0, "%s",
            strbuf_cstring(&output));
  cr_expect_not_null(strstr(strbuf_cstring(&output), "make release-contracts"));
  strbuf_free(&output);
  command_remove_folder(folder);
}
