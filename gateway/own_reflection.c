// grpc.reflection.v1.ServerReflection of the gateway, also by its name in v1alpha, which tools ask for: the contracts
// without what only services may call.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/reflection/reflection_answer.h"
#include "gateway/own_services_internal.h"

// Answers a question. The bytes are in `out`.
static void answer(struct own_call *call, const Grpc__Reflection__V1__ServerReflectionRequest *question,
                   struct strbuf *out)
{
  const struct api *api = own_services_api(call->own);
  if (call->files_sent == NULL)
    call->files_sent = calloc(descriptor_set_count(api->descriptors) + 1, sizeof(*call->files_sent));
  CHECK(call->files_sent != NULL);
  struct reflection reflection = {.set = api->descriptors,
                                  .services = api->public_services,
                                  .service_count = api->public_service_count,
                                  .sent = call->files_sent};
  struct arena arena;
  arena_init(&arena);
  Grpc__Reflection__V1__ServerReflectionResponse response;
  reflection_answer(&reflection, question, &arena, &response);
  size_t size = grpc__reflection__v1__server_reflection_response__get_packed_size(&response);
  uint8_t *to = (uint8_t *)strbuf_reserve(out, size);
  out->size += grpc__reflection__v1__server_reflection_response__pack(&response, to);
  arena_free(&arena);
}

static void answer_request(struct own_call *call)
{
  Grpc__Reflection__V1__ServerReflectionRequest *question = grpc__reflection__v1__server_reflection_request__unpack(
      NULL, call->request.size, (const uint8_t *)call->request.data);
  if (question == NULL) {
    const struct rpc_status broken = {.code = STATUS_INVALID_ARGUMENT, .message = SLICE("the question is no message")};
    own_call_end(call, &broken, (struct slice){0});
    return;
  }
  struct strbuf out;
  strbuf_init(&out, 0);
  answer(call, question, &out);
  grpc__reflection__v1__server_reflection_request__free_unpacked(question, NULL);
  own_call_send(call, strbuf_slice(&out));
  strbuf_free(&out);
}

static void go_on(struct own_call *call)
{
  if (call->has_request) {
    call->has_request = false;
    answer_request(call);
  } else if (call->is_closed) {
    own_call_end(call, &(struct rpc_status){.code = STATUS_OK}, (struct slice){0});
  } else if (call->was_refused && call->untaken == 0) {
    call->was_refused = false;
    call->events->on_writable(call->arg);
  }
}

#define METHOD "/ServerReflectionInfo"
const struct own_kind own_reflection = {.method = "grpc.reflection.v1.ServerReflection" METHOD, .go_on = go_on};
const struct own_kind own_reflection_alpha = {.method = "grpc.reflection.v1alpha.ServerReflection" METHOD,
                                              .contract = "grpc.reflection.v1.ServerReflection" METHOD,
                                              .go_on = go_on};
