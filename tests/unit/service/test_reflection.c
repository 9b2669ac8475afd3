// The answers of grpc.reflection.v1, made of the contracts that the build has embedded.
#include <criterion/criterion.h>
#include <string.h>

#include "common/service/call.h"
#include "common/service/reflection_internal.h"

#define QUESTION(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static struct arena arena;
static struct descriptor_set *set;
static struct reflection reflection;
static Grpc__Reflection__V1__ServerReflectionRequest question;
static Grpc__Reflection__V1__ServerReflectionResponse answer;

static void setup(void)
{
  static const char *const SERVICES[] = {"shop.v1.ShopService"};
  cr_assert_eq(descriptor_set_create(service_descriptors, &set), STATUS_OK);
  reflection = (struct reflection){.set = set, .services = SERVICES, .service_count = 1};
  reflection.sent = arena_zalloc(&arena, descriptor_set_count(set) * sizeof(*reflection.sent));
  grpc__reflection__v1__server_reflection_request__init(&question);
}

static void teardown(void)
{
  descriptor_set_free(&set);
  arena_free(&arena);
}

TestSuite(reflection, .init = setup, .fini = teardown);

static void ask(Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase kind, char *text)
{
  question.message_request_case = kind;
  question.file_by_filename = text;
  reflection_answer(&reflection, &question, &arena, &answer);
}

static void ask_extension(char *type, int32_t number)
{
  static Grpc__Reflection__V1__ExtensionRequest extension;
  grpc__reflection__v1__extension_request__init(&extension);
  extension.containing_type = type;
  extension.extension_number = number;
  question.message_request_case = QUESTION(FILE_CONTAINING_EXTENSION);
  question.file_containing_extension = &extension;
  reflection_answer(&reflection, &question, &arena, &answer);
}

static struct slice answered_file(size_t index)
{
  cr_assert_eq(answer.message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
  cr_assert_lt(index, answer.file_descriptor_response->n_file_descriptor_proto);
  const ProtobufCBinaryData *bytes = &answer.file_descriptor_response->file_descriptor_proto[index];
  return slice_make(bytes->data, bytes->len);
}

static void expect_file(const char *name)
{
  const struct descriptor_file *file = descriptor_set_file(set, slice_from_string(name));
  cr_assert_not_null(file, "%s", name);
  cr_expect(slice_equal(answered_file(0), file->bytes), "%s", name);
}

static void expect_error(enum status status, const char *message)
{
  cr_assert_eq(answer.message_response_case, ANSWER(ERROR_RESPONSE));
  cr_expect_eq(answer.error_response->error_code, status);
  cr_expect_str_eq(answer.error_response->error_message, message);
}

Test(reflection, each_kind_of_symbol_is_found)
{
  char *symbols[] = {"item.v1.ItemService", "item.v1.ItemService.GetItem", "item.v1.Item"};
  for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
    ask(QUESTION(FILE_CONTAINING_SYMBOL), symbols[i]);
    expect_file("item/v1/item.proto");
  }
  ask(QUESTION(FILE_CONTAINING_SYMBOL), "grpc.health.v1.HealthCheckResponse.ServingStatus");
  expect_file("grpc/health/v1/health.proto");
  ask(QUESTION(FILE_CONTAINING_SYMBOL), "bulkhead.v1.method");
  expect_file("bulkhead/v1/options.proto");
  ask(QUESTION(FILE_CONTAINING_SYMBOL), "item.v1");
  expect_error(STATUS_NOT_FOUND, "there is no service, method, message, enum or extension item.v1");
}

Test(reflection, a_file_comes_with_its_imports_which_are_sent_once)
{
  ask(QUESTION(FILE_BY_FILENAME), "bulkhead/v1/options.proto");
  expect_file("bulkhead/v1/options.proto");
  cr_assert_eq(answer.file_descriptor_response->n_file_descriptor_proto, 2);
  cr_expect(slice_equal(answered_file(1), descriptor_set_file(set, SLICE("google/protobuf/descriptor.proto"))->bytes));
  ask(QUESTION(FILE_BY_FILENAME), "grpc/health/v1/health.proto");
  cr_expect_eq(answer.file_descriptor_response->n_file_descriptor_proto, 1);
  ask(QUESTION(FILE_BY_FILENAME), "grpc/health/v1/health.proto");
  expect_file("grpc/health/v1/health.proto");
  ask(QUESTION(FILE_BY_FILENAME), "shop.proto");
  expect_error(STATUS_NOT_FOUND, "there is no file shop.proto");
}

Test(reflection, extensions_are_found_by_their_numbers)
{
  ask_extension("google.protobuf.MethodOptions", 50001);
  expect_file("bulkhead/v1/options.proto");
  ask_extension("google.protobuf.MethodOptions", 50002);
  expect_error(STATUS_NOT_FOUND, "there is no extension of google.protobuf.MethodOptions with the number 50002");

  ask(QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE), "google.protobuf.FieldOptions");
  cr_assert_eq(answer.message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE));
  cr_assert_eq(answer.all_extension_numbers_response->n_extension_number, 1);
  cr_expect_eq(answer.all_extension_numbers_response->extension_number[0], 50002);
  cr_expect_str_eq(answer.all_extension_numbers_response->base_type_name, "google.protobuf.FieldOptions");
  ask(QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE), "item.v1.Item");
  cr_assert_eq(answer.message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE));
  cr_expect_eq(answer.all_extension_numbers_response->n_extension_number, 0);
  ask(QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE), "shop.v1.Shop");
  expect_error(STATUS_NOT_FOUND, "there is no message shop.v1.Shop");
}

Test(reflection, services_are_those_that_are_bound)
{
  question.host = "here";
  ask(QUESTION(LIST_SERVICES), "");
  cr_assert_eq(answer.message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
  cr_assert_eq(answer.list_services_response->n_service, 1);
  cr_expect_str_eq(answer.list_services_response->service[0]->name, "shop.v1.ShopService");
  cr_expect_str_eq(answer.valid_host, "here");
  cr_expect_eq(answer.original_request, &question);
}

Test(reflection, a_question_of_no_kind_is_an_error)
{
  ask(GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET, NULL);
  expect_error(STATUS_INVALID_ARGUMENT, "the question is none of those that grpc/reflection/v1/reflection.proto names");
}
