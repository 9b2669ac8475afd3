// The answers of grpc.reflection.v1.ServerReflection: which services there are, and the files that declare them.
#ifndef BULKHEAD_REFLECTION_REFLECTION_ANSWER_H
#define BULKHEAD_REFLECTION_REFLECTION_ANSWER_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/contract/descriptor_set.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

// What the answers to the questions of one stream are made of.
struct reflection {
  const struct descriptor_set *set;
  const char *const *services;  // full names
  size_t service_count;
  bool *sent;  // of each file of the set, whether the stream has got it
};

// Answers a question. What the answer consists of lives in `arena`, in the set and in the question.
void reflection_answer(struct reflection *reflection, const Grpc__Reflection__V1__ServerReflectionRequest *question,
                       struct arena *arena, Grpc__Reflection__V1__ServerReflectionResponse *answer);

#endif
