// Fields by name and by number, whatever their names are.
#include <criterion/criterion.h>

#include "common/base/strbuf.h"
#include "tests/support/contract/fixture.h"

static struct strbuf text;

static void setup(void)
{
  strbuf_init(&text, 0);
}

static void teardown(void)
{
  strbuf_free(&text);
}

TestSuite(names, .init = setup, .fini = teardown);

static const struct contract_message *message_of(const char *fields)
{
  strbuf_clear(&text);
  strbuf_printf(&text,
                "message M { %s }\n"
                "service S { rpc Get(M) returns (M) { option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n",
                fields);
  const struct contract_message *message =
      contract_message_by_name(fixture_contract(strbuf_cstring(&text)), SLICE("t.v1.M"));
  cr_assert_not_null(message);
  return message;
}

// Each of the fields is found under both of its names, and under no other.
static void expect_found(const struct contract_message *message, size_t count)
{
  cr_assert_eq(message->field_count, count);
  for (size_t i = 0; i < count; i++) {
    const struct contract_field *field = &message->fields[i];
    cr_expect_eq(contract_field_by_name(message, field->name), field, SLICE_FMT, SLICE_ARG(field->name));
    cr_expect_eq(contract_field_by_name(message, field->json_name), field, SLICE_FMT, SLICE_ARG(field->json_name));
    cr_expect_eq(contract_field_by_number(message, field->number), field);
    cr_expect_null(contract_field_by_name(message, slice_make(field->name.data, field->name.size - 1)));
    cr_expect_null(contract_field_by_name(message, slice_skip(field->name, 1)));
  }
  cr_expect_null(contract_field_by_name(message, SLICE("")));
  cr_expect_null(contract_field_by_name(message, SLICE("no_such_field")));
}

Test(names, may_differ_in_the_middle_only)
{
  const struct contract_message *message = message_of("string customer_home_address = 1;"
                                                      "string customer_work_address = 2;"
                                                      "string customer_mail_address = 3;");
  expect_found(message, 3);
  cr_expect_null(contract_field_by_name(message, SLICE("customer_xxxx_address")));
}

Test(names, of_every_length_are_told_apart_by_any_one_letter)
{
  for (size_t size = 1; size <= 40; size++) {
    struct strbuf fields;
    strbuf_init(&fields, 0);
    for (size_t i = 0; i < size; i++) {
      strbuf_add_string(&fields, "string ");
      for (size_t k = 0; k < size; k++)
        strbuf_add_byte(&fields, k == i ? 'b' : 'a');
      strbuf_printf(&fields, " = %zu;", i + 1);
    }
    expect_found(message_of(strbuf_cstring(&fields)), size);
    strbuf_free(&fields);
  }
}

Test(names, of_a_large_message_are_all_found)
{
  struct strbuf fields;
  strbuf_init(&fields, 0);
  for (unsigned i = 0; i < 256; i++)
    strbuf_printf(&fields, "string field_%u_of_a_large_message = %u;", i, 3 * i + 1);
  const struct contract_message *message = message_of(strbuf_cstring(&fields));
  expect_found(message, 256);
  cr_expect_null(contract_field_by_number(message, 0));
  cr_expect_null(contract_field_by_number(message, 2));
  cr_expect_null(contract_field_by_number(message, 3 * 255 + 2));
  cr_expect_null(contract_field_by_number(message, UINT32_MAX));
  strbuf_free(&fields);
}

Test(names, there_may_be_any_number_of_fields)
{
  enum { FIELDS = 2000 };
  struct strbuf fields;
  strbuf_init(&fields, 0);
  for (unsigned i = 0; i < FIELDS; i++)
    strbuf_printf(&fields, "string f%u_of_many = %u;", i, 1000 + 7 * i);
  const struct contract_message *message = message_of(strbuf_cstring(&fields));
  expect_found(message, FIELDS);
  cr_expect_null(contract_field_by_number(message, 999));
  cr_expect_null(contract_field_by_number(message, 1001));
  cr_expect_null(contract_field_by_number(message, 1000 + 7 * FIELDS));
  strbuf_free(&fields);
}

Test(names, fields_may_have_any_number)
{
  const struct contract_message *message = message_of(
      "string one = 1; string two = 1023; string three = 1024; string four = 18999; string five = 536870911;");
  expect_found(message, 5);
  cr_expect_null(contract_field_by_number(message, 1022));
  cr_expect_null(contract_field_by_number(message, 1025));
  cr_expect_null(contract_field_by_number(message, 536870910));
  cr_expect_null(contract_field_by_number(message, 536870912));
}

Test(names, a_message_without_fields_has_none)
{
  expect_found(message_of(""), 0);
}
