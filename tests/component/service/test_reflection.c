// grpc.reflection.v1 of a running service, which has not bound it.
#include <criterion/criterion.h>
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "tests/component/service/probe_process.h"
#include "tests/component/service/stream_client.h"

#define QUESTION(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static struct process probe;
static struct driver gateway;
static struct stream_client stream;

static void setup(void)
{
  probe_open(&probe, &gateway, NULL);
  stream_client_open(&stream, &gateway, "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL);
}

static void teardown(void)
{
  rpc_call_half_close(stream.call);
  stream_client_await_end(&stream, STATUS_OK);
  probe_close(&probe, &gateway);
}

TestSuite(reflection, .init = setup, .fini = teardown);

static const Grpc__Reflection__V1__ServerReflectionResponse *
ask(Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase question, char *text)
{
  Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
  request.message_request_case = question;
  request.file_by_filename = text;
  size_t before = stream.count;
  stream_client_write(&stream, &request.base);
  return (void *)stream_client_await(&stream, before + 1,
                                     &grpc__reflection__v1__server_reflection_response__descriptor);
}

static bool lists(const Grpc__Reflection__V1__ListServiceResponse *response, const char *name)
{
  for (size_t i = 0; i < response->n_service; i++)
    if (strcmp(response->service[i]->name, name) == 0)
      return true;
  return false;
}

Test(reflection, services_are_listed)
{
  const Grpc__Reflection__V1__ServerReflectionResponse *answer = ask(QUESTION(LIST_SERVICES), "*");
  cr_assert_eq(answer->message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
  cr_expect_eq(answer->list_services_response->n_service, 6);
  cr_expect(lists(answer->list_services_response, "item.v1.ItemService"));
  cr_expect(lists(answer->list_services_response, "grpc.health.v1.Health"));
  cr_expect(lists(answer->list_services_response, "grpc.reflection.v1.ServerReflection"));
  cr_expect_str_eq(answer->original_request->list_services, "*");
}

static Google__Protobuf__FileDescriptorProto *read_file(const Grpc__Reflection__V1__FileDescriptorResponse *response,
                                                        size_t index)
{
  const ProtobufCBinaryData *bytes = &response->file_descriptor_proto[index];
  Google__Protobuf__FileDescriptorProto *file =
      google__protobuf__file_descriptor_proto__unpack(NULL, bytes->len, bytes->data);
  cr_assert_not_null(file);
  return file;
}

Test(reflection, a_symbol_leads_to_its_file_and_all_that_it_imports)
{
  const Grpc__Reflection__V1__ServerReflectionResponse *answer =
      ask(QUESTION(FILE_CONTAINING_SYMBOL), "item.v1.ItemService.GetItem");
  cr_assert_eq(answer->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
  Google__Protobuf__FileDescriptorProto *file = read_file(answer->file_descriptor_response, 0);
  cr_expect_str_eq(file->name, "item/v1/item.proto");
  cr_assert_geq(file->n_service, 1);
  cr_expect_str_eq(file->service[0]->name, "ItemService");
  cr_expect_gt(answer->file_descriptor_response->n_file_descriptor_proto, file->n_dependency);
  google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);

  answer = ask(QUESTION(FILE_BY_FILENAME), "item/v1/item.proto");
  cr_assert_eq(answer->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
  cr_expect_eq(answer->file_descriptor_response->n_file_descriptor_proto, 1, "its imports were sent before");
}

Test(reflection, what_is_unknown_is_an_answer_and_the_stream_goes_on)
{
  const Grpc__Reflection__V1__ServerReflectionResponse *answer =
      ask(QUESTION(FILE_CONTAINING_SYMBOL), "shop.v1.ShopService");
  cr_assert_eq(answer->message_response_case, ANSWER(ERROR_RESPONSE));
  cr_expect_eq(answer->error_response->error_code, STATUS_NOT_FOUND);
  answer = ask(QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE), "google.protobuf.OneofOptions");
  cr_assert_eq(answer->message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE));
  cr_assert_eq(answer->all_extension_numbers_response->n_extension_number, 1);
  cr_expect_eq(answer->all_extension_numbers_response->extension_number[0], 50003);
}
