// How mistakes are collected and told.
#include <criterion/criterion.h>

#include "common/contract/diagnostics.h"

static struct diagnostics diagnostics;
static struct strbuf text;

static void open_all(void)
{
  diagnostics_init(&diagnostics);
  strbuf_init(&text, 0);
}

static void close_all(void)
{
  strbuf_free(&text);
  diagnostics_free(&diagnostics);
}

TestSuite(diagnostics, .init = open_all, .fini = close_all);

static void add(const char *file, unsigned line, unsigned column, const char *element)
{
  diagnostics_add(&diagnostics, &(struct source_place){file, line, column}, element, "is %s; write %d", "wrong", 1);
}

Test(diagnostics, are_told_in_the_order_of_their_places)
{
  add("b.proto", 1, 1, "b.B");
  add("a.proto", 10, 3, "a.late");
  add("a.proto", 2, 5, "a.A.second");
  add("a.proto", 2, 3, "a.A.first");
  add("a.proto", 2, 3, "a.A.then");
  add("a.proto", 0, 0, NULL);
  add("", 0, 0, NULL);
  diagnostics_sort(&diagnostics);
  diagnostics_write(&diagnostics, &text);
  cr_expect_str_eq(strbuf_cstring(&text), "is wrong; write 1\n"
                                          "a.proto: is wrong; write 1\n"
                                          "a.proto:2:3: a.A.first: is wrong; write 1\n"
                                          "a.proto:2:3: a.A.then: is wrong; write 1\n"
                                          "a.proto:2:5: a.A.second: is wrong; write 1\n"
                                          "a.proto:10:3: a.late: is wrong; write 1\n"
                                          "b.proto:1:1: b.B: is wrong; write 1");
}

Test(diagnostics, are_counted_beyond_the_cap)
{
  for (unsigned i = 1; i <= DIAGNOSTICS_MAX; i++)
    add("a.proto", i, 1, "a");
  diagnostics_write(&diagnostics, &text);
  cr_expect(slice_find(strbuf_slice(&text), 'l', 0) == text.size, "nothing is said of others while all are listed");
  add("a.proto", 1, 1, "a");
  add("a.proto", 1, 1, "a");
  cr_expect_eq(diagnostics.count, DIAGNOSTICS_MAX);
  diagnostics_write(&diagnostics, &text);
  cr_expect_not_null(strstr(strbuf_cstring(&text), "\n2 more mistakes are not listed"));
}
