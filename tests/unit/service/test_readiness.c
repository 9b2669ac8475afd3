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

Test(readiness, postgres_is_required)
{
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_UP, CHECK_UP}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"up\",\"consul\":\"up\"}}");
  expect_answer((struct readiness){PHASE_SERVING, CHECK_DOWN, CHECK_UP, CHECK_UP}, false,
                "{\"status\":\"unavailable\",\"checks\":{\"postgres\":\"down\",\"redis\":\"up\",\"consul\":\"up\"}}");
}

Test(readiness, redis_and_consul_are_only_reported)
{
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_DOWN, CHECK_DOWN}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"down\",\"consul\":\"down\"}}");
  expect_answer((struct readiness){PHASE_SERVING, CHECK_UP, CHECK_OFF, CHECK_OFF}, true,
                "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\"}}");
}

Test(readiness, only_a_serving_instance_is_ready)
{
  expect_answer((struct readiness){PHASE_STARTING, CHECK_UP, CHECK_OFF, CHECK_OFF}, false,
                "{\"status\":\"starting\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\"}}");
  expect_answer((struct readiness){PHASE_DRAINING, CHECK_UP, CHECK_OFF, CHECK_OFF}, false,
                "{\"status\":\"draining\",\"checks\":{\"postgres\":\"up\",\"redis\":\"off\",\"consul\":\"off\"}}");
}
