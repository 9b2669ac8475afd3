// grpc.reflection.v1.ServerReflection, which every process serves: what it serves, and the contracts behind it.
#ifndef BULKHEAD_SERVICE_REFLECTION_INTERNAL_H
#define BULKHEAD_SERVICE_REFLECTION_INTERNAL_H

#include "common/contract/descriptor_set.h"
#include "grpc/reflection/v1/reflection.bh.h"

// All contracts of the build and what they import, a serialized FileDescriptorSet (embed_descriptors.sh).
extern const struct slice service_descriptors;

extern const struct grpc_reflection_v1_server_reflection_handlers reflection_handlers;

// What the answers to the questions of one stream are made of.
struct reflection {
  const struct descriptor_set *set;
  const struct rpc_binding *bindings;
  size_t binding_count;
  bool *sent;  // of each file of the set, whether the stream has got it
};

// Answers a question. What the answer consists of lives in `arena`, in the set and in the question.
void reflection_answer(struct reflection *reflection, const Grpc__Reflection__V1__ServerReflectionRequest *question,
                       struct arena *arena, Grpc__Reflection__V1__ServerReflectionResponse *answer);

#endif
