// Unpacking what peers send: messages that hold themselves are read only as deep as a stack can bear.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "common/contract/rules.h"
#include "common/service/proto_memory_internal.h"
#include "google/protobuf/struct.pb-c.h"

enum { VALUE_LIST = 6, LIST_VALUES = 1 };

// Makes a ListValue inside which lie `depth` messages: a Value, a ListValue, and so on.
static struct strbuf make_nested(unsigned depth)
{
  struct strbuf inside;
  strbuf_init(&inside, 0);
  for (unsigned i = depth; i > 0; i--) {
    struct strbuf outside;
    strbuf_init(&outside, 0);
    wire_write_bytes(&outside, i % 2 == 1 ? LIST_VALUES : VALUE_LIST, strbuf_slice(&inside));
    strbuf_free(&inside);
    inside = outside;
  }
  return inside;
}

static bool unpacks(struct slice bytes)
{
  struct arena arena;
  arena_init(&arena);
  bool found = proto_unpack(&google__protobuf__list_value__descriptor, bytes, &arena) != NULL;
  arena_free(&arena);
  return found;
}

Test(proto_memory, messages_nest_as_deep_as_a_stack_can_bear)
{
  static const unsigned DEPTHS[] = {0, 1, 4, 5, CONTRACT_MAX_DEPTH, CONTRACT_MAX_DEPTH + 1, 1000};
  for (size_t i = 0; i < ARRAY_LEN(DEPTHS); i++) {
    struct strbuf bytes = make_nested(DEPTHS[i]);
    cr_expect_eq(unpacks(strbuf_slice(&bytes)), DEPTHS[i] <= CONTRACT_MAX_DEPTH, "%u", DEPTHS[i]);
    strbuf_free(&bytes);
  }
}

Test(proto_memory, what_cannot_be_read_is_no_message)
{
  cr_expect_not(unpacks(SLICE("\x0a\x05")));
  cr_expect_not(unpacks(SLICE("\x0b\x0c")));
  cr_expect(unpacks((struct slice){0}));
}
