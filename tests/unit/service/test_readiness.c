// Which instances get calls: the answer of /readyz.
#include <criterion/criterion.h>

#include "common/service/readiness_internal.h"

static void expect_answer(struct readiness readiness, bool ready, const char *json)
{
  struct strbuf out;
  strbuf_init(&out, 0);
  cr_expect_eq(readiness_render(&readiness, &out), ready);
  cr_expect_str_eq(strbuf_cstring(&out), json);
  strbuf_free(&out);
}

// Every instance shares PostgreSQL: without it they would all be taken off the lists, and nobody would answer.
Test(readiness, an_instance_without_postgres_takes_calls_and_says_that_it_is_degraded)
{
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_UP, CHECK_UP, CHECK_UP}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"up\",\"consul\":\"up\","
                "\"tokenKeys\":\"up\"}}");
  expect_answer((struct readiness){PHASE_SERVING, CHECK_DOWN, CHECK_UP, CHECK_UP, CHECK_UP}, true,
                "{\"status\":\"degraded\",\"checks\":{\"postgres\":\"down\",\"redis\":\"up\",\"consul\":\"up\","
                "\"tokenKeys\":\"up\"}}");
}

Test(readiness, keys_of_access_tokens_are_required_where_tokens_are_verified)
{
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_UP, CHECK_UP, CHECK_DOWN}, false,
                "{\"status\":\"unavailable\",\"checks\":{\"postgres\":\"up\",\"redis\":\"up\",\"consul\":\"up\","
                "\"tokenKeys\":\"down\"}}");
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_UP, CHECK_UP, CHECK_OFF}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"up\",\"consul\":\"up\","
                "\"tokenKeys\":\"off\"}}");
}

Test(readiness, redis_and_consul_are_only_reported)
{
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_DOWN, CHECK_DOWN, CHECK_UP}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"down\",\"consul\":\"down\","
                "\"tokenKeys\":\"up\"}}");
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_OFF, CHECK_OFF, CHECK_UP}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\","
                "\"tokenKeys\":\"up\"}}");
}

Test(readiness, only_a_serving_instance_is_ready)
{
  expect_answer((struct readiness){PHASE_STARTING, CHECK_UP, CHECK_OFF, CHECK_OFF, CHECK_UP}, false,
                "{\"status\":\"starting\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\","
                "\"tokenKeys\":\"up\"}}");
  expect_answer((struct readiness){PHASE_DRAINING, CHECK_UP, CHECK_OFF, CHECK_OFF, CHECK_UP}, false,
                "{\"status\":\"draining\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\","
                "\"tokenKeys\":\"up\"}}");
}
