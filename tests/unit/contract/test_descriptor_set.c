// What a FileDescriptorSet declares, and sets that are not as protoc writes them.
#include <criterion/criterion.h>

#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/contract/descriptor_fields.h"
#include "common/contract/descriptor_set.h"

static struct strbuf bytes;
static struct descriptor_set *set;

static void teardown(void)
{
  descriptor_set_free(&set);
  strbuf_free(&bytes);
}

TestSuite(descriptor_set, .fini = teardown);

static void add_text(uint32_t number, const char *text)
{
  wire_write_bytes(&bytes, number, slice_from_string(text));
}

// Adds a file of the package shop.v1 that imports `import` and declares a message, either of which may be NULL.
static void add_file(const char *name, const char *import, const char *message)
{
  size_t file = wire_begin_nested(&bytes, SET_FILE);
  add_text(FILE_NAME, name);
  add_text(FILE_PACKAGE, "shop.v1");
  if (import != NULL)
    add_text(FILE_DEPENDENCY, import);
  if (message != NULL) {
    size_t declaration = wire_begin_nested(&bytes, FILE_MESSAGE_TYPE);
    add_text(DECLARATION_NAME, message);
    wire_end_nested(&bytes, declaration);
  }
  wire_end_nested(&bytes, file);
}

static enum status create(void)
{
  return descriptor_set_create(strbuf_slice(&bytes), &set);
}

Test(descriptor_set, imports_may_stand_in_any_order)
{
  add_file("a.proto", "b.proto", "A");
  add_file("b.proto", NULL, "B");
  cr_assert_eq(create(), STATUS_OK);
  const struct descriptor_file *file = descriptor_set_symbol(set, SLICE("shop.v1.A"));
  cr_assert_not_null(file);
  cr_expect(slice_equal_string(file->name, "a.proto"));
  cr_assert_eq(file->import_count, 1);
  cr_expect_eq(file->imports[0], descriptor_set_file(set, SLICE("b.proto")));
  cr_expect_null(descriptor_set_symbol(set, SLICE("A")));
  cr_expect_eq(descriptor_set_count(set), 2);
}

Test(descriptor_set, an_empty_set_is_one)
{
  cr_assert_eq(descriptor_set_create((struct slice){0}, &set), STATUS_OK);
  cr_expect_null(descriptor_set_file(set, SLICE("a.proto")));
}

static void expect_refused(void)
{
  cr_expect_eq(create(), STATUS_INVALID_ARGUMENT);
  cr_expect_null(set);
  strbuf_free(&bytes);
}

Test(descriptor_set, what_protoc_would_not_write_is_refused)
{
  add_file("a.proto", "missing.proto", NULL);
  expect_refused();
  add_file("a.proto", NULL, NULL);
  add_file("a.proto", NULL, NULL);
  expect_refused();
  add_file("a.proto", NULL, "A");
  add_file("b.proto", NULL, "A");
  expect_refused();
  add_file("", NULL, "A");
  expect_refused();
  add_file("a.proto", NULL, "");
  expect_refused();
  add_text(SET_FILE, "\xff\xff");
  expect_refused();
}

Test(descriptor_set, messages_nest_eight_deep)
{
  for (unsigned depth = 8; depth <= 20; depth += 12) {
    size_t marks[20];
    size_t file = wire_begin_nested(&bytes, SET_FILE);
    add_text(FILE_NAME, "a.proto");
    for (unsigned i = 0; i < depth; i++) {
      marks[i] = wire_begin_nested(&bytes, i == 0 ? FILE_MESSAGE_TYPE : MESSAGE_NESTED_TYPE);
      add_text(DECLARATION_NAME, "M");
    }
    for (unsigned i = depth; i > 0; i--)
      wire_end_nested(&bytes, marks[i - 1]);
    wire_end_nested(&bytes, file);
    cr_expect_eq(create(), depth == 8 ? STATUS_OK : STATUS_INVALID_ARGUMENT, "%u", depth);
    descriptor_set_free(&set);
    strbuf_free(&bytes);
  }
}
