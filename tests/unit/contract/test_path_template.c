// Path templates of contracts: what their parts are, and which texts are none.
#include <criterion/criterion.h>

#include "common/contract/path_template.h"

static struct path_template parsed;

static void expect_template(const char *text)
{
  const char *problem = path_template_parse(slice_from_string(text), &parsed);
  cr_assert_null(problem, "%s: %s", text, problem);
}

static void expect_segment(size_t place, enum segment_kind kind, const char *literal)
{
  cr_assert_lt(place, parsed.segment_count);
  cr_expect_eq(parsed.segments[place].kind, kind, "segment %zu", place);
  cr_expect(slice_equal_string(parsed.segments[place].literal, literal), "segment %zu", place);
}

static void expect_variable(size_t place, const char *field, size_t first, size_t end, bool multi_segment)
{
  cr_assert_lt(place, parsed.variable_count);
  cr_expect(slice_equal_string(parsed.variables[place].field, field), SLICE_FMT,
            SLICE_ARG(parsed.variables[place].field));
  cr_expect_eq(parsed.variables[place].first_segment, first, "%s", field);
  cr_expect_eq(parsed.variables[place].end_segment, end, "%s", field);
  cr_expect_eq(parsed.variables[place].multi_segment, multi_segment, "%s", field);
}

Test(path_template, has_literals_wildcards_and_a_verb)
{
  expect_template("/v1/things/*/**:doIt");
  cr_expect_eq(parsed.segment_count, 4);
  expect_segment(0, SEGMENT_LITERAL, "v1");
  expect_segment(1, SEGMENT_LITERAL, "things");
  expect_segment(2, SEGMENT_ANY, "");
  expect_segment(3, SEGMENT_REST, "");
  cr_expect_eq(parsed.variable_count, 0);
  cr_expect(slice_equal_string(parsed.verb, "doIt"));
  expect_template("/v1");
  cr_expect_null(parsed.verb.data);
}

Test(path_template, variables_span_the_segments_of_their_patterns)
{
  expect_template("/v1/{id}/{name=shelves/*/books/*}/x/{rest=**}");
  cr_expect_eq(parsed.segment_count, 8);
  cr_assert_eq(parsed.variable_count, 3);
  expect_variable(0, "id", 1, 2, false);
  expect_segment(1, SEGMENT_ANY, "");
  expect_variable(1, "name", 2, 6, true);
  expect_segment(4, SEGMENT_LITERAL, "books");
  expect_segment(6, SEGMENT_LITERAL, "x");
  expect_variable(2, "rest", 7, 8, true);
  expect_template("/{kind=fixed}");
  expect_variable(0, "kind", 0, 1, false);
}

Test(path_template, a_literal_takes_what_a_path_may_hold_unescaped)
{
  expect_template("/azAZ09-._~!$&'()+,;@");
  expect_segment(0, SEGMENT_LITERAL, "azAZ09-._~!$&'()+,;@");
}

Test(path_template, a_variable_names_fields_by_letters_digits_underscores_and_dots)
{
  expect_template("/{a_z.A0_Z9}");
  expect_variable(0, "a_z.A0_Z9", 0, 1, false);
}

Test(path_template, refuses_what_is_no_template)
{
  static const char *const TEXTS[][2] = {
      {"", "it must begin with /"},
      {"v1", "it must begin with /"},
      {"/", "a segment is empty or has a character that is not allowed"},
      {"/v1/", "a segment is empty or has a character that is not allowed"},
      {"/v1//a", "a segment is empty or has a character that is not allowed"},
      {"/v1/%41", "a segment is empty or has a character that is not allowed"},
      {"/v1/a%41", "it has a character that is not allowed"},
      {"/v1/a b", "it has a character that is not allowed"},
      {"/v1/a*", "it has a character that is not allowed"},
      {"/v1/a`", "it has a character that is not allowed"},
      {"/v1/a[", "it has a character that is not allowed"},
      {"/v1/a/{id", "a variable has no closing brace"},
      {"/v1/{id-x}", "a variable has no closing brace"},
      {"/v1/{id`}", "a variable has no closing brace"},
      {"/v1/{id=a", "a variable has no closing brace"},
      {"/v1/{id=a/}", "a segment is empty or has a character that is not allowed"},
      {"/v1/{id=}", "a segment is empty or has a character that is not allowed"},
      {"/v1/{a={b}}", "a segment is empty or has a character that is not allowed"},
      {"/v1/{}", "a variable has no name"},
      {"/v1/{=*}", "a variable has no name"},
      {"/v1/{id}x", "it has a character that is not allowed"},
      {"/v1/**/a", "** must be the last segment"},
      {"/v1/{rest=**}/{id}", "** must be the last segment"},
      {"/v1/a:", "its verb is empty"},
      {"/v1/a:b:c", "it has a character that is not allowed"},
      {"/v1/a:b/c", "it has a character that is not allowed"},
  };
  for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
    const char *problem = path_template_parse(slice_from_string(TEXTS[i][0]), &parsed);
    cr_expect(problem != NULL && strcmp(problem, TEXTS[i][1]) == 0, "%s: %s", TEXTS[i][0],
              problem == NULL ? "accepted" : problem);
  }
}

// Parses a template of `count` times the same segment.
static const char *parse_repeated(const char *segment, size_t count)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  for (size_t i = 0; i < count; i++)
    strbuf_add_string(&text, segment);
  const char *problem = path_template_parse(strbuf_slice(&text), &parsed);
  strbuf_free(&text);
  return problem;
}

Test(path_template, has_bounds)
{
  cr_expect_null(parse_repeated("/a", TEMPLATE_MAX_SEGMENTS));
  cr_expect_str_eq(parse_repeated("/a", TEMPLATE_MAX_SEGMENTS + 1), "it has too many segments");
  cr_expect_null(parse_repeated("/{a}", CONTRACT_MAX_VARIABLES));
  cr_expect_str_eq(parse_repeated("/{a}", CONTRACT_MAX_VARIABLES + 1), "it has too many variables");
}

// A template is a view: what follows it in memory is somebody else's.
Test(path_template, ends_where_its_text_ends)
{
  cr_assert_null(path_template_parse(slice_make("/v1/a/b", 5), &parsed));
  cr_expect_eq(parsed.segment_count, 2);
  cr_assert_null(path_template_parse(slice_make("/v1:b", 3), &parsed));
  cr_expect_null(parsed.verb.data);
  cr_expect_not_null(path_template_parse(slice_make("/v1/{a}", 6), &parsed));
  cr_expect_not_null(path_template_parse(slice_make("/v1", 0), &parsed));
}
