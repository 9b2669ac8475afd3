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
      {"/v1/**/a/**", "it has ** twice, so a path could be divided between them in several ways"},
      {"/v1/{rest=**}/{more=**}", "it has ** twice, so a path could be divided between them in several ways"},
      {"/v1/{rest=**/a/**}", "it has ** twice, so a path could be divided between them in several ways"},
      {"/v1/***", "it has a character that is not allowed"},
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

// ---- the grammar, kind by kind ----

// A template and what it is made of: its segments, its variables with the segments that they have, its verb. Where
// `segments` is NULL the template is refused, and `why` says for what reason that is right.
struct template_case {
  const char *text;
  const char *segments;
  const char *variables;
  const char *verb;
  const char *why;
};

static const struct template_case CASES[] = {
    // Literals and wildcards, at each place.
    {"/shops", "shops", "", NULL, NULL},
    {"/shops/open", "shops open", "", NULL, NULL},
    {"/*", "*", "", NULL, NULL},
    {"/**", "**", "", NULL, NULL},
    {"/shops/*", "shops *", "", NULL, NULL},
    {"/shops/**", "shops **", "", NULL, NULL},
    {"/*/**", "* **", "", NULL, NULL},
    {"/*/shops/**", "* shops **", "", NULL, NULL},
    {"/**/shops", "** shops", "", NULL, NULL},
    {"/shops/**/sold/today", "shops ** sold today", "", NULL, NULL},
    // What is behind a "**" is counted from the end of the path, so wildcards may stand there, too.
    {"/shops/**/*", "shops ** *", "", NULL, NULL},
    {"/shops/**/sold/*", "shops ** sold *", "", NULL, NULL},
    {"/**/*/**", NULL, NULL, NULL, "which segments belong to which ** is not determined"},
    {"/shops/**/**", NULL, NULL, NULL, "which segments belong to which ** is not determined"},
    {"/shops/**/sold/**", NULL, NULL, NULL, "which segments belong to which ** is not determined"},
    {"/{shop=**}/sold/{day=**}", NULL, NULL, NULL, "which segments belong to which ** is not determined"},
    // Variables of one segment, whose pattern may be left out.
    {"/{shop}", "*", "shop[0,1)", NULL, NULL},
    {"/{shop=*}", "*", "shop[0,1)", NULL, NULL},
    {"/{shop.owner.id}", "*", "shop.owner.id[0,1)", NULL, NULL},
    {"/{shop.owner.id=*}", "*", "shop.owner.id[0,1)", NULL, NULL},
    {"/{shop=north}", "north", "shop[0,1)", NULL, NULL},
    {"/shops/{shop}/goods/{good}", "shops * goods *", "shop[1,2) good[3,4)", NULL, NULL},
    // Variables of several segments.
    {"/{name=shops/*}", "shops *", "name[0,2)", NULL, NULL},
    {"/v1/{name=shops/*}", "v1 shops *", "name[1,3)", NULL, NULL},
    {"/v1/{name=shops/*/goods}", "v1 shops * goods", "name[1,4)", NULL, NULL},
    {"/{item.name=*/goods/new}/sold", "* goods new sold", "item.name[0,3)", NULL, NULL},
    {"/{shop=north/*}/{good=goods/*}/sold", "north * goods * sold", "shop[0,2) good[2,4)", NULL, NULL},
    // Variables with a "**" at the end, in the middle and alone, and with segments behind them.
    {"/{name=**}", "**", "name[0,1)", NULL, NULL},
    {"/{item.name=**}", "**", "item.name[0,1)", NULL, NULL},
    {"/v1/{name=**}", "v1 **", "name[1,2)", NULL, NULL},
    {"/v1/{name=shops/**}", "v1 shops **", "name[1,3)", NULL, NULL},
    {"/v1/{name=shops/**}/sold/today", "v1 shops ** sold today", "name[1,3)", NULL, NULL},
    {"/v1/{name=shops/**/goods}/sold", "v1 shops ** goods sold", "name[1,4)", NULL, NULL},
    {"/{item.name=shops/**/goods}", "shops ** goods", "item.name[0,3)", NULL, NULL},
    {"/{a.b=x/*/y/**}/z", "x * y ** z", "a.b[0,4)", NULL, NULL},
    {"/{x=a/**/b}/c", "a ** b c", "x[0,3)", NULL, NULL},
    {"/{shop=*}/{name=**}/sold", "* ** sold", "shop[0,1) name[1,2)", NULL, NULL},
    {"/{name=**}/{shop}/{day=d/*}", "** * d *", "name[0,1) shop[1,2) day[2,4)", NULL, NULL},
    // Verbs, behind everything that may be last.
    {"/shops:close", "shops", "", "close", NULL},
    {"/v1/shops/north:close", "v1 shops north", "", "close", NULL},
    {"/*:close", "*", "", "close", NULL},
    {"/**:close", "**", "", "close", NULL},
    {"/v1/*:close", "v1 *", "", "close", NULL},
    {"/v1/**:close", "v1 **", "", "close", NULL},
    {"/{shop}:close", "*", "shop[0,1)", "close", NULL},
    {"/v1/{shop}:close", "v1 *", "shop[1,2)", "close", NULL},
    {"/v1/{shop=*}/**:close", "v1 * **", "shop[1,2)", "close", NULL},
    {"/{name=*/*}:close", "* *", "name[0,2)", "close", NULL},
    {"/{name=**}:close", "**", "name[0,1)", "close", NULL},
    {"/{name=shops/**/goods}:close", "shops ** goods", "name[0,3)", "close", NULL},
    {"/v1/{name=shops/**}/sold:close", "v1 shops ** sold", "name[1,3)", "close", NULL},
    // What is no template.
    {"", NULL, NULL, NULL, "a template begins with a slash"},
    {"/", NULL, NULL, NULL, "a template has a segment: /** is for all paths"},
    {"//", NULL, NULL, NULL, "a segment is not empty"},
    {"/shops/", NULL, NULL, NULL, "a segment is not empty"},
    {"/shops//north", NULL, NULL, NULL, "a segment is not empty"},
    {"shops", NULL, NULL, NULL, "a template begins with a slash"},
    {"shops/{shop}", NULL, NULL, NULL, "a template begins with a slash"},
    {"{shop}", NULL, NULL, NULL, "a template begins with a slash"},
    {"{shop=/north}", NULL, NULL, NULL, "a template begins with a slash"},
    {"/{}", NULL, NULL, NULL, "a variable has a name"},
    {"/{=shops}", NULL, NULL, NULL, "a variable has a name"},
    {"/{shop=}", NULL, NULL, NULL, "a segment is not empty"},
    {"/{shop=/north}", NULL, NULL, NULL, "the segments of a variable do not begin with a slash"},
    {"/{shop=north/}", NULL, NULL, NULL, "a segment is not empty"},
    {"/{name=shops/{shop}}", NULL, NULL, NULL, "a variable has no variables inside"},
    {"/{shop", NULL, NULL, NULL, "a variable ends with its brace"},
    {"/{shop.", NULL, NULL, NULL, "a variable ends with its brace"},
    {"/{", NULL, NULL, NULL, "a variable has a name"},
    {"/shop}", NULL, NULL, NULL, "a brace is no part of a literal"},
    {"/{shop=north:close}", NULL, NULL, NULL, "a verb stands behind all segments"},
    {"/shop{shop}", NULL, NULL, NULL, "a variable has whole segments"},
    {"/{shop}s", NULL, NULL, NULL, "a variable has whole segments"},
    {"/shop{shop}s/sold", NULL, NULL, NULL, "a variable has whole segments"},
    {"/{shop}-{day}", NULL, NULL, NULL, "a variable has whole segments"},
    {"/shop*", NULL, NULL, NULL, "a wildcard is a whole segment"},
    {"/*shop", NULL, NULL, NULL, "a wildcard is a whole segment"},
    {"/sh**p", NULL, NULL, NULL, "a wildcard is a whole segment"},
    {":close", NULL, NULL, NULL, "a template begins with a slash"},
    {"/:close", NULL, NULL, NULL, "a verb stands behind a segment"},
    {"/shops/:close", NULL, NULL, NULL, "a verb stands behind a segment"},
    {":", NULL, NULL, NULL, "a template begins with a slash"},
    {"/:", NULL, NULL, NULL, "a verb stands behind a segment"},
    {"/shops:", NULL, NULL, NULL, "a verb is not empty"},
    {"/*:", NULL, NULL, NULL, "a verb is not empty"},
    {"/**:", NULL, NULL, NULL, "a verb is not empty"},
    {"/{shop}:", NULL, NULL, NULL, "a verb is not empty"},
    {"/{shop=*}/**:", NULL, NULL, NULL, "a verb is not empty"},
    {"/shops/:", NULL, NULL, NULL, "a verb stands behind a segment"},
    {"/shops:close:now", NULL, NULL, NULL, "a template has one verb"},
    {"/shops:close/now", NULL, NULL, NULL, "a verb stands behind all segments"},
    {"/sh%6Fps", NULL, NULL, NULL, "literals are written decoded, because paths are compared decoded"},
    {"/shops?day=1", NULL, NULL, NULL, "a query is no part of a template"},
    {"/shops/{shop name}", NULL, NULL, NULL, "a field has no space in its name"},
    {"/caf\xC3\xA9", NULL, NULL, NULL, "a path has no such bytes but percent-encoded"},
};

static void write_segments(struct strbuf *out)
{
  for (size_t i = 0; i < parsed.segment_count; i++) {
    static const char *const WILD[] = {[SEGMENT_ANY] = "*", [SEGMENT_REST] = "**"};
    struct slice text = parsed.segments[i].kind == SEGMENT_LITERAL ? parsed.segments[i].literal
                                                                   : slice_from_string(WILD[parsed.segments[i].kind]);
    strbuf_printf(out, "%s" SLICE_FMT, i == 0 ? "" : " ", SLICE_ARG(text));
  }
}

static void write_variables(struct strbuf *out)
{
  for (size_t i = 0; i < parsed.variable_count; i++)
    strbuf_printf(out, "%s" SLICE_FMT "[%zu,%zu)", i == 0 ? "" : " ", SLICE_ARG(parsed.variables[i].field),
                  parsed.variables[i].first_segment, parsed.variables[i].end_segment);
}

static void expect_parts(const struct template_case *expected)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  expect_template(expected->text);
  write_segments(&text);
  cr_expect_str_eq(strbuf_cstring(&text), expected->segments, "%s: %s", expected->text, strbuf_cstring(&text));
  strbuf_clear(&text);
  write_variables(&text);
  cr_expect_str_eq(strbuf_cstring(&text), expected->variables, "%s: %s", expected->text, strbuf_cstring(&text));
  cr_expect(expected->verb == NULL ? parsed.verb.data == NULL : slice_equal_string(parsed.verb, expected->verb), "%s",
            expected->text);
  strbuf_free(&text);
}

Test(path_template, is_what_the_grammar_says)
{
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    if (CASES[i].segments != NULL)
      expect_parts(&CASES[i]);
    else
      cr_expect_not_null(path_template_parse(slice_from_string(CASES[i].text), &parsed), "\"%s\" is accepted, but %s",
                         CASES[i].text, CASES[i].why);
}
