#include "common/service/readiness_internal.h"

#include "common/base/jsontext_writer.h"

bool readiness_is_ready(const struct readiness *readiness)
{
  return readiness->phase == PHASE_SERVING && readiness->token_keys != CHECK_DOWN;
}

static struct slice status_of(const struct readiness *readiness)
{
  switch (readiness->phase) {
  case PHASE_STARTING:
    return SLICE("starting");
  case PHASE_MIGRATING:
    return SLICE("migrating");
  case PHASE_DRAINING:
    return SLICE("draining");
  case PHASE_SERVING:
    break;
  }
  if (readiness->token_keys == CHECK_DOWN)
    return SLICE("unavailable");
  return readiness->postgres == CHECK_DOWN ? SLICE("degraded") : SLICE("ready");
}

static void write_check(struct jsontext_writer *json, const char *name, enum check_result result)
{
  static const char *const names[] = {[CHECK_OFF] = "off", [CHECK_DOWN] = "down", [CHECK_UP] = "up"};
  jsontext_key_string(json, name, slice_from_string(names[result]));
}

bool readiness_render(const struct readiness *readiness, struct strbuf *out)
{
  struct slice status = status_of(readiness);
  struct jsontext_writer json;
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  jsontext_key_string(&json, "status", status);
  jsontext_key(&json, SLICE("checks"));
  jsontext_begin_object(&json);
  write_check(&json, "postgres", readiness->postgres);
  write_check(&json, "redis", readiness->redis);
  write_check(&json, "consul", readiness->consul);
  write_check(&json, "tokenKeys", readiness->token_keys);
  jsontext_end_object(&json);
  jsontext_end_object(&json);
  return readiness_is_ready(readiness);
}
