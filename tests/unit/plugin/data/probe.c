// Compiled by test_generated.c together with what protoc-c and the plugin made of data/good: the names fit when this
// links, and main says what else does not hold.
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "odd/v1/contents.bh.h"
#include "odd/v1/names.bh.h"
#include "odd/v1/presence.bh.h"
#include "odd/v1/shared.bh.h"

static int failures;

static void expect(bool condition, const char *what, int line)
{
  if (condition)
    return;
  printf("line %d: %s\n", line, what);
  failures++;
}
#define EXPECT(condition) expect(condition, #condition, __LINE__)

static const struct rpc_method *method_called;
static Odd__V1__Unchecked reply;

enum status call_peer(struct service *service, struct call *call, const struct rpc_method *method,
                      const ProtobufCMessage *request, struct arena *arena, ProtobufCMessage **response)
{
  (void)service, (void)call, (void)arena, (void)request;
  method_called = method;
  *response = &reply.base;
  return STATUS_OK;
}

// ---- streams, of which one message is known ----

static struct stream *const the_stream = (struct stream *)(void *)&reply;
static const ProtobufCMessage *message_moved;

struct stream *call_stream(struct call *call)
{
  (void)call;
  return the_stream;
}

void stream_open(struct service *service, struct call *call, const struct rpc_method *method,
                 const ProtobufCMessage *request, struct stream **out)
{
  (void)service, (void)call;
  method_called = method;
  message_moved = request;
  *out = the_stream;
}

bool stream_read(struct stream *stream, const ProtobufCMessage **message)
{
  *message = message_moved;
  return stream == the_stream;
}

bool stream_write(struct stream *stream, const ProtobufCMessage *message)
{
  message_moved = message;
  return stream == the_stream;
}

enum status stream_finish(struct stream *stream, struct arena *arena, ProtobufCMessage **response)
{
  (void)stream, (void)arena;
  *response = &reply.base;
  return STATUS_OK;
}

static enum status handle_export(struct call *call, const Odd__V1__Unchecked *request, struct stream *stream)
{
  static Odd__V1__Label label;
  (void)call;
  odd__v1__label__init(&label);
  return request->number == 7 && odd_v1_streams_export_write_response(stream, &label) ? STATUS_OK : STATUS_ABORTED;
}

static enum status handle_import(struct call *call, struct stream *stream, Odd__V1__Unchecked *response)
{
  const Odd__V1__Label *label = NULL;
  (void)call;
  response->number = 8;
  return odd_v1_streams_import_read_request(stream, &label) ? STATUS_OK : STATUS_ABORTED;
}

static enum status handle_exchange(struct call *call, struct stream *stream)
{
  (void)call;
  return stream == the_stream ? STATUS_OK : STATUS_ABORTED;
}

static void check_streams(void)
{
  const struct odd_v1_streams_handlers handlers = {handle_export, handle_import, handle_exchange};
  const struct rpc_method *methods = odd_v1_streams.methods;
  EXPECT(!methods[0].client_streams && methods[0].server_streams && methods[0].message_timeout_ms == 100);
  EXPECT(methods[1].client_streams && !methods[1].server_streams && methods[1].message_timeout_ms == 0);
  EXPECT(methods[2].client_streams && methods[2].server_streams);
  Odd__V1__Unchecked number = ODD__V1__UNCHECKED__INIT;
  number.number = 7;
  EXPECT(methods[0].invoke(&handlers, NULL, &number.base, NULL) == STATUS_OK);
  EXPECT(message_moved->descriptor == &odd__v1__label__descriptor);
  EXPECT(methods[1].invoke(&handlers, NULL, NULL, &number.base) == STATUS_OK && number.number == 8);
  EXPECT(methods[2].invoke(&handlers, NULL, NULL, NULL) == STATUS_OK);
  struct stream *stream = NULL;
  odd_v1_streams_export(NULL, NULL, &number, &stream);
  EXPECT(stream == the_stream && method_called == &methods[0] && message_moved == &number.base);
  odd_v1_streams_exchange(NULL, NULL, &stream);
  EXPECT(method_called == &methods[2] && message_moved == NULL);
  Odd__V1__Unchecked *answer = NULL;
  EXPECT(odd_v1_streams_import_finish(stream, NULL, &answer) == STATUS_OK && answer == &reply);
}

enum status call_fail(struct call *call, enum status status, const char *reason, const char *format, ...)
{
  (void)call, (void)reason, (void)format;
  return status;
}

static enum status handle_deliver(struct call *call, const Odd__V1__SnakeCaseMessage *request,
                                  Odd__V1__Unchecked *response)
{
  (void)call;
  response->number = (int32_t)request->smallest;
  return STATUS_OK;
}

static const struct message_field_rules *rules_of(const struct message_rules *rules, const char *name)
{
  for (unsigned i = 0; i < rules->descriptor->n_fields; i++) {
    if (strcmp(rules->descriptor->fields[i].name, name) == 0)
      return &rules->fields[i];
  }
  return NULL;
}

static void check_rules(void)
{
  const struct message_rules *rules = &odd_v1_snake_case_message_rules;
  EXPECT(rules->descriptor == &odd__v1__snake_case_message__descriptor);
  EXPECT(rules_of(rules, "label")->message == &odd_v1_label_rules);
  EXPECT(rules_of(rules, "labels")->message == &odd_v1_label_rules);
  EXPECT(rules_of(rules, "plain")->message == NULL);
  const struct field_rules *text = &rules_of(rules, "text")->rules;
  EXPECT(text->required && text->max_length == 12 && text->one_of_count == 2);
  EXPECT(strcmp(text->one_of[0], "a\"b\\c\?\?/") == 0);
  EXPECT(strcmp(text->one_of[1], "\303\251"
                                 "1") == 0);
  const struct field_rules *smallest = &rules_of(rules, "smallest")->rules;
  EXPECT(smallest->has_minimum && smallest->minimum == INT64_MIN);
  EXPECT(smallest->has_maximum && smallest->maximum == INT64_MAX);
  const struct message_rules *request = &odd_v1_httprequest2_go_rules;
  EXPECT(rules_of(request, "cert")->message == &odd_v1_httprequest2_go_x509_cert_rules);
  EXPECT(rules_of(request, "mask")->message == NULL);
  EXPECT(strcmp(odd_v1_httprequest2_go_x509_cert_rules.shown_names[0], "pem") == 0);
  EXPECT(odd_v1_label_rules.fields[0].rules.max_length == 7);
}

static void check_contents(void)
{
  const struct message_rules *tree = &odd_v1_tree_rules;
  EXPECT(rules_of(tree, "children")->message == tree);
  EXPECT(rules_of(tree, "named")->message == &odd_v1_tree_named_entry_rules);
  EXPECT(rules_of(&odd_v1_tree_named_entry_rules, "value")->message == tree);
  // The rules of a message in a circle are those that all messages of the circle have.
  EXPECT(rules_of(tree, "ping")->message == &odd_v1_ping_rules);
  EXPECT(rules_of(&odd_v1_pong_rules, "ping")->message == &odd_v1_ping_rules);
  EXPECT(rules_of(&odd_v1_pong_rules, "tree")->message == tree);
  const struct message_rules *contents = &odd_v1_contents_rules;
  EXPECT(rules_of(contents, "any")->message == NULL && rules_of(contents, "object")->message == NULL);
  EXPECT(rules_of(contents, "old")->message == NULL);
  EXPECT(!rules_of(contents, "any_colour")->rules.defined_only);
  EXPECT(rules_of(contents, "known_colour")->rules.defined_only);
}

static void check_methods(void)
{
  const struct rpc_service *service = &odd_v1_httpservice2;
  EXPECT(strcmp(service->full_name, "odd.v1.HTTPService2") == 0);
  EXPECT(strcmp(service->service, "odd") == 0);
  EXPECT(service->method_count == 4 && odd_v1_idle.method_count == 0);
  const struct rpc_method *delete_method = &service->methods[0];
  EXPECT(strcmp(delete_method->full_name, "odd.v1.HTTPService2/Delete") == 0);
  EXPECT(delete_method->policy.access == ACCESS_ROLE && delete_method->policy.role_count == 2);
  EXPECT(strcmp(delete_method->policy.roles[0], "admin") == 0 && strcmp(delete_method->policy.roles[1], "owner") == 0);
  EXPECT(delete_method->policy.max_auth_age_s == 600 && service->methods[1].policy.max_auth_age_s == 0);
  EXPECT(delete_method->timeout_ms == 250 && !delete_method->no_side_effects);
  EXPECT(delete_method->output == &google__protobuf__empty__descriptor);
  EXPECT(delete_method->input_rules == &odd_v1_httprequest2_go_rules);
  const struct rpc_method *deliver_method = &service->methods[1];
  EXPECT(deliver_method->policy.access == ACCESS_INTERNAL && deliver_method->no_side_effects);
  EXPECT(deliver_method->policy.caller_count == 2 && strcmp(deliver_method->policy.callers[0], "user") == 0);
  EXPECT(strcmp(deliver_method->policy.callers[1], "gateway") == 0);
  EXPECT(deliver_method->cache_ttl_ms == 60 && deliver_method->timeout_ms == 5000);
  EXPECT(deliver_method->hedge_after_ms == 40 && delete_method->hedge_after_ms == 0);
  EXPECT(service->methods[2].policy.access == ACCESS_PUBLIC && service->methods[2].input_rules == NULL);
  EXPECT(service->methods[3].policy.access == ACCESS_AUTHENTICATED &&
         service->methods[3].input_rules == &odd_v1_label_rules);
}

static void check_calls(void)
{
  const struct odd_v1_httpservice2_handlers handlers = {.deliver_as_is = handle_deliver};
  const struct rpc_service *service = &odd_v1_httpservice2;
  Odd__V1__SnakeCaseMessage request = ODD__V1__SNAKE_CASE_MESSAGE__INIT;
  request.smallest = 42;
  Odd__V1__Unchecked response = ODD__V1__UNCHECKED__INIT;
  EXPECT(service->methods[1].invoke(&handlers, NULL, &request.base, &response.base) == STATUS_OK);
  EXPECT(response.number == 42);
  EXPECT(service->methods[1].handler_offset == offsetof(struct odd_v1_httpservice2_handlers, deliver_as_is));

  odd__v1__unchecked__init(&reply);
  Odd__V1__Unchecked *answer = NULL;
  EXPECT(odd_v1_httpservice2_deliver_as_is(NULL, NULL, &request, NULL, &answer) == STATUS_OK);
  EXPECT(answer == &reply && strcmp(method_called->service, "odd") == 0 && method_called == &service->methods[1]);
}

static void check_presence(void)
{
  Odd__V1__Presence message = ODD__V1__PRESENCE__INIT;
  EXPECT(!odd_v1_presence_has_number(&message) && !odd_v1_presence_has_delete_(&message));
  odd_v1_presence_set_number(&message, 0);
  EXPECT(odd_v1_presence_has_number(&message) && message.number == 0);
  char text[] = "";
  odd_v1_presence_set_delete_(&message, text);
  EXPECT(odd_v1_presence_has_delete_(&message) && message.delete_ == text);
  odd_v1_presence_set_httpbody(&message, (ProtobufCBinaryData){0});
  odd_v1_presence_set_colour(&message, ODD__V1__COLOUR__COLOUR_RED);
  Odd__V1__Plain plain = ODD__V1__PLAIN__INIT;
  odd_v1_presence_set_plain(&message, &plain);
  odd_v1_presence_set_flag(&message, false);
  odd_v1_presence_set_ratio(&message, 0.5);

  uint8_t bytes[64];
  size_t size = odd__v1__presence__pack(&message, bytes);
  Odd__V1__Presence *copy = odd__v1__presence__unpack(NULL, size, bytes);
  EXPECT(copy != NULL && odd_v1_presence_has_number(copy) && copy->number == 0);
  EXPECT(odd_v1_presence_has_httpbody(copy) && odd_v1_presence_has_plain(copy) && odd_v1_presence_has_flag(copy));
  EXPECT(copy->colour == ODD__V1__COLOUR__COLOUR_RED && copy->ratio == 0.5);
  odd_v1_presence_clear_number(copy);
  EXPECT(!odd_v1_presence_has_number(copy));
  odd__v1__presence__free_unpacked(copy, NULL);
}

static void check_maps(void)
{
  const struct message_rules *entry = rules_of(&odd_v1_mapped_rules, "labels")->message;
  EXPECT(entry == &odd_v1_mapped_labels_entry_rules && entry->is_map_entry);
  EXPECT(rules_of(entry, "value")->message == &odd_v1_label_rules && !odd_v1_label_rules.is_map_entry);
}

static void check_oneofs(void)
{
  const struct message_rules *rules = &odd_v1_presence_rules;
  EXPECT(rules->required_oneof_count == 1 && strcmp(rules->required_oneofs[0].json_name, "kind") == 0);
  EXPECT(strcmp(rules->descriptor->fields[rules->required_oneofs[0].field].name, "left") == 0);
  EXPECT(rules_of(rules, "number")->rules.minimum == 5 && rules_of(rules, "flag")->rules.required);
  EXPECT(odd_v1_only_oneof_rules.required_oneof_count == 1 && odd_v1_only_oneof_rules.required_oneofs[0].field == 0);
  EXPECT(strcmp(odd_v1_only_oneof_rules.required_oneofs[0].json_name, "onlyNumber") == 0);
}

int main(void)
{
  check_presence();
  check_oneofs();
  check_maps();
  check_rules();
  check_contents();
  check_methods();
  check_calls();
  check_streams();
  return failures == 0 ? 0 : 1;
}
