// What an update writes of messages inside a resource: nested fields, members of oneofs, maps and Google's messages.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/service/resource.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "grpc/reflection/v1/reflection.bh.h"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(resource_mask, .init = setup, .fini = teardown);

// Makes a query that writes every field of a message.
static struct query write_all(const ProtobufCMessageDescriptor *descriptor)
{
  struct query_param *params = arena_array(&arena, descriptor->n_fields, sizeof(*params));
  for (unsigned i = 0; i < descriptor->n_fields; i++)
    params[i] = (struct query_param){.offset = descriptor->fields[i].offset};
  return (struct query){.params = params, .param_count = descriptor->n_fields};
}

// Merges the paths of a text such as "a,b.c". Returns the path that is refused; NULL where none is.
static const char *merge(void *to, const void *from, const char *paths, bool *differs)
{
  ProtobufCMessage *message = to;
  struct query update = write_all(message->descriptor);
  const struct resource_merging merging = {.update = &update, .arena = &arena};
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  char *names[8];
  mask.paths = names;
  for (char *rest = arena_string(&arena, slice_from_string(paths)), *name; (name = strsep(&rest, ",")) != NULL;)
    names[mask.n_paths++] = name;
  return resource_merge(message, from, &mask.base, &merging, differs);
}

static void expect_merged(void *to, const void *from, const char *paths, bool expected)
{
  bool differs;
  cr_expect_null(merge(to, from, paths, &differs), "%s", paths);
  cr_expect_eq(differs, expected, "%s", paths);
}

static char OLD[] = "old", NEW[] = "new";

Test(resource_mask, a_path_into_a_message_leaves_its_other_fields)
{
  Grpc__Reflection__V1__ServerReflectionRequest stored = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  stored.host = OLD;
  stored.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
  stored.file_by_filename = OLD;
  Grpc__Reflection__V1__ServerReflectionRequest given = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  given.host = NEW;
  Grpc__Reflection__V1__ServerReflectionResponse to = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
  Grpc__Reflection__V1__ServerReflectionResponse from = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
  to.original_request = &stored;
  from.original_request = &given;
  expect_merged(&to, &from, "original_request.host", true);
  cr_expect_str_eq(to.original_request->host, NEW);
  cr_expect_str_eq(to.original_request->file_by_filename, OLD);
  // The message that was stored may have other holders.
  cr_expect_str_eq(stored.host, OLD);
  expect_merged(&to, &from, "original_request.host", false);
  expect_merged(&to, &from, "original_request", true);
  cr_expect_eq(to.original_request->message_request_case, 0);
}

Test(resource_mask, a_message_on_the_way_is_made_where_it_is_given)
{
  Grpc__Reflection__V1__ServerReflectionRequest given = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  given.host = NEW;
  Grpc__Reflection__V1__ServerReflectionResponse to = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
  Grpc__Reflection__V1__ServerReflectionResponse from = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
  expect_merged(&to, &from, "original_request.host", false);
  cr_expect_null(to.original_request);
  from.original_request = &given;
  expect_merged(&to, &from, "original_request.host", true);
  cr_expect_str_eq(to.original_request->host, NEW);
  // One that is not given empties what the path leads to.
  from.original_request = NULL;
  expect_merged(&to, &from, "original_request.host", true);
  cr_expect_str_empty(to.original_request->host);
  expect_merged(&to, &from, "original_request", true);
  cr_expect_null(to.original_request);
}

Test(resource_mask, a_member_of_a_oneof_replaces_another)
{
  Grpc__Reflection__V1__ServerReflectionRequest to = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  Grpc__Reflection__V1__ServerReflectionRequest from = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  to.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
  to.file_by_filename = OLD;
  from.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
  from.list_services = NEW;
  // What is named and not set takes only itself away.
  expect_merged(&to, &from, "file_containing_symbol", false);
  cr_expect_eq(to.message_request_case,
               GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME);
  cr_expect_str_eq(to.file_by_filename, OLD);
  expect_merged(&to, &from, "list_services", true);
  cr_expect_eq(to.message_request_case, GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES);
  cr_expect_str_eq(to.list_services, NEW);
  expect_merged(&to, &from, "list_services,file_by_filename", false);
  from.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET;
  expect_merged(&to, &from, "file_by_filename", false);
  expect_merged(&to, &from, "list_services", true);
  cr_expect_eq(to.message_request_case, GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET);
}

Test(resource_mask, all_of_a_oneof_is_what_is_given)
{
  Grpc__Reflection__V1__ServerReflectionRequest to = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  Grpc__Reflection__V1__ServerReflectionRequest from = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  for (unsigned i = 0; i < 2; i++) {
    Grpc__Reflection__V1__ServerReflectionRequest *first = i == 0 ? &to : &from;
    Grpc__Reflection__V1__ServerReflectionRequest *second = i == 0 ? &from : &to;
    first->message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    first->list_services = OLD;
    second->message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
    second->file_by_filename = NEW;
    expect_merged(&to, &from, "*", true);
    cr_expect_eq(to.message_request_case, from.message_request_case);
    cr_expect_str_eq(to.list_services, from.list_services);
    expect_merged(&to, &from, "*", false);
  }
}

Test(resource_mask, a_path_may_lead_through_a_oneof)
{
  Grpc__Reflection__V1__ExtensionRequest extension = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
  extension.containing_type = NEW;
  extension.extension_number = 7;
  Grpc__Reflection__V1__ServerReflectionRequest to = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  Grpc__Reflection__V1__ServerReflectionRequest from = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  to.message_request_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
  to.list_services = OLD;
  expect_merged(&to, &from, "file_containing_extension.containing_type", false);
  cr_expect_str_eq(to.list_services, OLD);
  from.message_request_case =
      GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION;
  from.file_containing_extension = &extension;
  expect_merged(&to, &from, "file_containing_extension.containing_type", true);
  cr_expect_eq(to.message_request_case,
               GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION);
  cr_expect_str_eq(to.file_containing_extension->containing_type, NEW);
  cr_expect_eq(to.file_containing_extension->extension_number, 0);
}

Test(resource_mask, googles_messages_and_maps_are_replaced_as_a_whole)
{
  Google__Protobuf__Struct object = GOOGLE__PROTOBUF__STRUCT__INIT;
  Google__Protobuf__Struct other = GOOGLE__PROTOBUF__STRUCT__INIT;
  Google__Protobuf__Struct__FieldsEntry entry = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
  Google__Protobuf__Struct__FieldsEntry *entries[] = {&entry};
  entry.key = NEW;
  other.fields = entries;
  other.n_fields = 1;
  bool differs;
  expect_merged(&object, &other, "fields", true);
  cr_expect_eq(object.n_fields, 1);
  cr_expect_str_eq(merge(&object, &other, "fields.new", &differs), "fields.new");
  Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
  Google__Protobuf__Value given = GOOGLE__PROTOBUF__VALUE__INIT;
  given.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
  given.struct_value = &other;
  cr_expect_str_eq(merge(&value, &given, "struct_value.fields", &differs), "struct_value.fields");
  expect_merged(&value, &given, "struct_value", true);
  cr_expect_eq(value.struct_value, &other);
}

Test(resource_mask, a_path_that_leads_nowhere_is_named)
{
  static const char *const PATHS[] = {"",
                                      ".",
                                      "nothing",
                                      "host.",
                                      "host.name",
                                      "original_request.nothing",
                                      "original_request.",
                                      "original_request..host",
                                      ".original_request",
                                      "original"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    Grpc__Reflection__V1__ServerReflectionResponse to = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ServerReflectionResponse from = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    bool differs;
    const char *refused = merge(&to, &from, PATHS[i], &differs);
    cr_assert_not_null(refused, "%s", PATHS[i]);
    cr_expect_str_eq(refused, PATHS[i]);
  }
}
