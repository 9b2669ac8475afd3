#include <criterion/criterion.h>

#include "gateway/problem.h"

static const char *problem_text(const struct problem *problem)
{
  static struct strbuf out;
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
