// Merge patches of JSON objects, with the cases of RFC 7396, appendix A.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/base/json_merge.h"

static const char *merge(const char *target, const char *patch)
{
  static struct arena arena;
  struct strbuf out;
  strbuf_init(&out, 0);
  bool whole = json_merge(slice_from_string(target), slice_from_string(patch), &arena, &out);
  const char *text = whole ? arena_string(&arena, strbuf_slice(&out)) : "refused";
  strbuf_free(&out);
  return text;
}

Test(json_merge, follows_the_standard)
{
  static const char *const CASES[][3] = {
      {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
      {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
      {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
      {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
      {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
      {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
      {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
      {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1,null]}", "{\"a\":[1,null]}"},
      {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
      {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
      {"", "{\"a\":null,\"b\":1e400}", "{\"b\":1e400}"},
      {"{\"a\":1}", "{}", "{\"a\":1}"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    cr_expect_str_eq(merge(CASES[i][0], CASES[i][1]), CASES[i][2], "%s %s: %s", CASES[i][0], CASES[i][1],
                     merge(CASES[i][0], CASES[i][1]));
}

Test(json_merge, keys_are_compared_unescaped_and_written_well)
{
  cr_expect_str_eq(merge("{\"a\\u0062\":1,\"q\\\"\":2}", "{\"ab\":3}"), "{\"ab\":3,\"q\\\"\":2}");
  cr_expect_str_eq(merge("{ \"a\" : [ 1 ] , \"b\" : { } }", "{ \"b\" : null }"), "{\"a\":[ 1 ]}");
  cr_expect_str_eq(merge("{\"a\":1}", "{\"a\":2,\"a\":null}"), "{}");
}

Test(json_merge, what_is_no_object_is_refused)
{
  static const char *const CASES[][2] = {{"{}", "[]"}, {"{}", "null"}, {"[]", "{}"}, {"{", "{}"}, {"{}", "{} {}"}};
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    cr_expect_str_eq(merge(CASES[i][0], CASES[i][1]), "refused", "%s %s", CASES[i][0], CASES[i][1]);
}
