#include "common/reflection/reflection_answer.h"

#include "common/base/compiler.h"
#include "common/base/status.h"

#define QUESTION(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

// A question that is being answered.
struct answering {
  struct reflection *reflection;
  const Grpc__Reflection__V1__ServerReflectionRequest *question;
  struct arena *arena;
  Grpc__Reflection__V1__ServerReflectionResponse *answer;
};

static void answer_error(const struct answering *answering, enum status status, char *message)
{
  Grpc__Reflection__V1__ServerReflectionResponse *answer = answering->answer;
  Grpc__Reflection__V1__ErrorResponse *error = arena_alloc(answering->arena, sizeof(*error));
  grpc__reflection__v1__error_response__init(error);
  error->error_code = (int32_t)status;
  error->error_message = message;
  answer->message_response_case = ANSWER(ERROR_RESPONSE);
  answer->error_response = error;
}

// ---- files ----

// Lists a file and those of its direct and indirect imports that were not sent yet, and notes them as sent. `files` has
// room for all of the set.
static size_t gather_files(struct reflection *reflection, const struct descriptor_file *file,
                           const struct descriptor_file **files)
{
  size_t count = 1;
  files[0] = file;
  reflection->sent[file->index] = true;
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < files[i]->import_count; k++) {
      const struct descriptor_file *import = files[i]->imports[k];
      if (reflection->sent[import->index])
        continue;
      reflection->sent[import->index] = true;
      files[count++] = import;
    }
  return count;
}

static void answer_file(const struct answering *answering, const struct descriptor_file *file)
{
  struct arena *arena = answering->arena;
  size_t max = descriptor_set_count(answering->reflection->set);
  const struct descriptor_file **files = arena_array(arena, max, sizeof(*files));
  size_t count = gather_files(answering->reflection, file, files);
  Grpc__Reflection__V1__FileDescriptorResponse *reply = arena_alloc(arena, sizeof(*reply));
  grpc__reflection__v1__file_descriptor_response__init(reply);
  reply->n_file_descriptor_proto = count;
  reply->file_descriptor_proto = arena_array(arena, count, sizeof(*reply->file_descriptor_proto));
  for (size_t i = 0; i < count; i++)
    reply->file_descriptor_proto[i] =
        (ProtobufCBinaryData){.len = files[i]->bytes.size, .data = (uint8_t *)(void *)files[i]->bytes.data};
  answering->answer->message_response_case = ANSWER(FILE_DESCRIPTOR_RESPONSE);
  answering->answer->file_descriptor_response = reply;
}

// Answers with the file that was found, or with what the message says where none was.
static void answer_found(const struct answering *answering, const struct descriptor_file *file, char *absence)
{
  if (file == NULL)
    answer_error(answering, STATUS_NOT_FOUND, absence);
  else
    answer_file(answering, file);
}

static void answer_name(const struct answering *answering)
{
  const char *name = answering->question->file_by_filename;
  answer_found(answering, descriptor_set_file(answering->reflection->set, slice_from_string(name)),
               arena_printf(answering->arena, "there is no file %s", name));
}

static void answer_symbol(const struct answering *answering)
{
  const char *symbol = answering->question->file_containing_symbol;
  answer_found(answering, descriptor_set_symbol(answering->reflection->set, slice_from_string(symbol)),
               arena_printf(answering->arena, "there is no service, method, message, enum or extension %s", symbol));
}

static void answer_extension(const struct answering *answering)
{
  const char *type = answering->question->file_containing_extension->containing_type;
  int32_t number = answering->question->file_containing_extension->extension_number;
  answer_found(answering, descriptor_set_extension(answering->reflection->set, slice_from_string(type), number),
               arena_printf(answering->arena, "there is no extension of %s with the number %d", type, (int)number));
}

// ---- lists ----

static void answer_numbers(const struct answering *answering)
{
  const struct descriptor_set *set = answering->reflection->set;
  char *type = answering->question->all_extension_numbers_of_type;
  struct slice extended = slice_from_string(type);
  if (descriptor_set_symbol(set, extended) == NULL) {
    answer_error(answering, STATUS_NOT_FOUND, arena_printf(answering->arena, "there is no message %s", type));
    return;
  }
  Grpc__Reflection__V1__ExtensionNumberResponse *reply = arena_alloc(answering->arena, sizeof(*reply));
  grpc__reflection__v1__extension_number_response__init(reply);
  size_t count = descriptor_set_extension_numbers(set, extended, NULL, 0);
  reply->base_type_name = type;
  reply->n_extension_number = count;
  reply->extension_number = arena_array(answering->arena, count, sizeof(*reply->extension_number));
  descriptor_set_extension_numbers(set, extended, reply->extension_number, count);
  answering->answer->message_response_case = ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE);
  answering->answer->all_extension_numbers_response = reply;
}

static Grpc__Reflection__V1__ServiceResponse *make_service(struct arena *arena, const char *name)
{
  Grpc__Reflection__V1__ServiceResponse *service = arena_alloc(arena, sizeof(*service));
  grpc__reflection__v1__service_response__init(service);
  service->name = (char *)name;
  return service;
}

static void answer_services(const struct answering *answering)
{
  const struct reflection *reflection = answering->reflection;
  Grpc__Reflection__V1__ListServiceResponse *reply = arena_alloc(answering->arena, sizeof(*reply));
  grpc__reflection__v1__list_service_response__init(reply);
  reply->n_service = reflection->service_count;
  reply->service = arena_array(answering->arena, reply->n_service, sizeof(*reply->service));
  for (size_t i = 0; i < reply->n_service; i++)
    reply->service[i] = make_service(answering->arena, reflection->services[i]);
  answering->answer->message_response_case = ANSWER(LIST_SERVICES_RESPONSE);
  answering->answer->list_services_response = reply;
}

// ---- questions ----

static void (*const answers[])(const struct answering *answering) = {
    [QUESTION(FILE_BY_FILENAME)] = answer_name,
    [QUESTION(FILE_CONTAINING_SYMBOL)] = answer_symbol,
    [QUESTION(FILE_CONTAINING_EXTENSION)] = answer_extension,
    [QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE)] = answer_numbers,
    [QUESTION(LIST_SERVICES)] = answer_services,
};

void reflection_answer(struct reflection *reflection, const Grpc__Reflection__V1__ServerReflectionRequest *question,
                       struct arena *arena, Grpc__Reflection__V1__ServerReflectionResponse *answer)
{
  const struct answering answering = {reflection, question, arena, answer};
  size_t kind = (size_t)question->message_request_case;
  grpc__reflection__v1__server_reflection_response__init(answer);
  answer->valid_host = question->host;
  answer->original_request = (Grpc__Reflection__V1__ServerReflectionRequest *)question;
  if (kind < ARRAY_LEN(answers) && answers[kind] != NULL)
    answers[kind](&answering);
  else
    answer_error(&answering, STATUS_INVALID_ARGUMENT,
                 "the question is none of those that grpc/reflection/v1/reflection.proto names");
}
