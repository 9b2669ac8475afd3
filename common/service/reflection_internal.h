// grpc.reflection.v1.ServerReflection, which every process serves: what it serves, and the contracts behind it.
#ifndef BULKHEAD_SERVICE_REFLECTION_INTERNAL_H
#define BULKHEAD_SERVICE_REFLECTION_INTERNAL_H

#include "common/contract/descriptor_set.h"
#include "common/reflection/reflection_answer.h"
#include "grpc/reflection/v1/reflection.bh.h"

// All contracts of the build and what they import, a serialized FileDescriptorSet (embed_descriptors.sh).
extern const struct slice service_descriptors;

extern const struct grpc_reflection_v1_server_reflection_handlers reflection_handlers;

#endif
