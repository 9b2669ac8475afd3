// The set of contracts is indexed at the first question, because most processes are never asked.
#include "common/service/reflection_internal.h"

#include "common/base/check.h"
#include "common/service/service_internal.h"

static const struct descriptor_set *find_descriptors(struct service *service)
{
  if (service->descriptors == NULL)
    CHECK(descriptor_set_create(service_descriptors, &service->descriptors) == STATUS_OK);
  return service->descriptors;
}

static const char **list_services(const struct service *service, struct arena *arena)
{
  const char **names = arena_array(arena, service->binding_count, sizeof(*names));
  for (size_t i = 0; i < service->binding_count; i++)
    names[i] = service->bindings[i].service->full_name;
  return names;
}

static bool answer_next(struct reflection *reflection, struct stream *stream, struct arena *arena)
{
  const Grpc__Reflection__V1__ServerReflectionRequest *question;
  Grpc__Reflection__V1__ServerReflectionResponse answer;
  if (!grpc_reflection_v1_server_reflection_server_reflection_info_read_request(stream, &question))
    return false;
  arena_reset(arena);
  reflection_answer(reflection, question, arena, &answer);
  return grpc_reflection_v1_server_reflection_server_reflection_info_write_response(stream, &answer);
}

static enum status server_reflection_info(struct call *call, struct stream *stream)
{
  struct service *service = call_service(call);
  struct reflection reflection = {
      .set = find_descriptors(service),
      .services = list_services(service, call_arena(call)),
      .service_count = service->binding_count,
  };
  reflection.sent = arena_zalloc(call_arena(call), descriptor_set_count(reflection.set) * sizeof(*reflection.sent));
  struct arena arena;
  arena_init(&arena);
  while (answer_next(&reflection, stream, &arena))
    continue;
  arena_free(&arena);
  return stream_status(stream);
}

const struct grpc_reflection_v1_server_reflection_handlers reflection_handlers = {
    .server_reflection_info = server_reflection_info,
};
