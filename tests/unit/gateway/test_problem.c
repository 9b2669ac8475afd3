#include <criterion/criterion.h>

#include "gateway/problem.h"

static const char *problem_text(const struct problem *problem)
{
  static struct strbuf out;
  strbuf_free(&out);
  strbuf_init(&out, 0);
  problem_write(problem, &out);
  return strbuf_cstring(&out);
}

Test(problem, names_the_kind_the_place_and_the_request)
{
  struct violation violations[] = {{SLICE("items[3].sku"), SLICE("must be at most 128 characters")}};
  const char *text = problem_text(&(struct problem){.http_status = 404,
                                                    .code = STATUS_NOT_FOUND,
                                                    .reason = SLICE("ITEM_NOT_FOUND"),
                                                    .detail = SLICE("there is no item 7"),
                                                    .path = SLICE("/v1/items/7"),
                                                    .request_id = SLICE("r-1"),
                                                    .violations = violations,
                                                    .violation_count = 1});
  cr_assert_str_eq(text,
                   "{\"type\":\"urn:bulkhead:problem:item-not-found\",\"title\":\"Not Found\",\"status\":404,"
                   "\"detail\":\"there is no item 7\",\"instance\":\"/v1/items/7\",\"code\":\"NOT_FOUND\","
                   "\"reason\":\"ITEM_NOT_FOUND\",\"requestId\":\"r-1\","
                   "\"violations\":[{\"field\":\"items[3].sku\",\"description\":\"must be at most 128 characters\"}]}");
}

Test(problem, without_reason_the_type_is_blank_and_the_detail_the_standard_one)
{
  const char *text = problem_text(&(struct problem){
      .http_status = 413, .code = STATUS_INVALID_ARGUMENT, .path = SLICE("/"), .request_id = SLICE("r-2")});
  cr_assert_str_eq(text, "{\"type\":\"about:blank\",\"title\":\"Content Too Large\",\"status\":413,"
                         "\"detail\":\"the body of the request is larger than the server accepts\","
                         "\"instance\":\"/\",\"code\":\"INVALID_ARGUMENT\",\"requestId\":\"r-2\"}");
}

Test(problem, hostile_bytes_of_path_and_detail_stay_valid_json)
{
  const char *text = problem_text(&(struct problem){.http_status = 400,
                                                    .code = STATUS_INVALID_ARGUMENT,
                                                    .detail = SLICE("\xff\xfe"),
                                                    .path = SLICE("/a\"<\xff\x01 %41"),
                                                    .request_id = SLICE("r-3")});
  cr_assert_str_eq(text, "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                         "\"detail\":\"the request is not well-formed HTTP; look for a malformed request line, header "
                         "or chunk, and for headers that come twice\",\"instance\":\"/a%22%3C%FF%01%20%41\","
                         "\"code\":\"INVALID_ARGUMENT\",\"requestId\":\"r-3\"}");
}

Test(problem, long_paths_are_cut)
{
  static char path[8192];
  memset(path, 'a', sizeof(path));
  const char *text = problem_text(&(struct problem){.http_status = 404,
                                                    .code = STATUS_NOT_FOUND,
                                                    .path = slice_make(path, sizeof(path)),
                                                    .request_id = SLICE("r-4")});
  cr_assert_lt(strlen(text), 1400);
}

Test(problem, a_reason_becomes_a_stable_type)
{
  const char *text = problem_text(&(struct problem){.http_status = 400,
                                                    .code = STATUS_INVALID_ARGUMENT,
                                                    .reason = SLICE("RULE_09_AZ_az./:@[`{"),
                                                    .path = SLICE("/"),
                                                    .request_id = SLICE("r-5")});
  cr_assert_not_null(strstr(text, "\"type\":\"urn:bulkhead:problem:rule-09-az-az-------\""), "%s", text);
}

Test(problem, a_reason_is_the_type_up_to_64_characters)
{
  static char reason[65];
  memset(reason, 'R', sizeof(reason));
  struct problem problem = {.http_status = 400, .code = STATUS_INVALID_ARGUMENT, .request_id = SLICE("r-6")};
  problem.reason = slice_make(reason, 64);
  cr_assert_not_null(strstr(problem_text(&problem), "urn:bulkhead:problem:rrrr"));
  problem.reason = slice_make(reason, 65);
  cr_assert_not_null(strstr(problem_text(&problem), "\"type\":\"about:blank\""));
}

Test(problem, without_a_path_there_is_no_instance)
{
  const char *text =
      problem_text(&(struct problem){.http_status = 400, .code = STATUS_INVALID_ARGUMENT, .request_id = SLICE("r-7")});
  cr_assert_null(strstr(text, "instance"), "%s", text);
}

Test(problem, statuses_that_nobody_expects_still_have_a_code)
{
  cr_assert_eq(problem_code(418), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(problem_code(508), STATUS_INTERNAL);
  cr_assert_eq(problem_code(500), STATUS_INTERNAL);
  cr_assert_str_eq(problem_title(418), "Error");
  cr_assert_eq(problem_code(404), STATUS_NOT_FOUND);
}

Test(problem, a_path_of_1024_bytes_is_whole)
{
  static char path[1025];
  memset(path, 'a', sizeof(path));
  path[1023] = 'y';
  path[1024] = 'z';
  struct problem problem = {.http_status = 404, .code = STATUS_NOT_FOUND, .request_id = SLICE("r-8")};
  problem.path = slice_make(path, sizeof(path));
  cr_assert_not_null(strstr(problem_text(&problem), "ay\""));
}

Test(problem, broken_texts_of_violations_are_replaced)
{
  struct violation violations[] = {{SLICE("\xff"), SLICE("\xfe")}};
  const char *text = problem_text(&(struct problem){.http_status = 400,
                                                    .code = STATUS_INVALID_ARGUMENT,
                                                    .reason = SLICE("\xfd"),
                                                    .request_id = SLICE("r-9"),
                                                    .violations = violations,
                                                    .violation_count = 1});
  cr_assert_not_null(strstr(text, "{\"field\":\"\",\"description\":\"is not valid\"}"), "%s", text);
  cr_assert_null(strstr(text, "\"reason\""), "%s", text);
}
