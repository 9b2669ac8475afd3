#include "common/service/task_list_internal.h"

#include "common/base/clock.h"
#include "common/base/jsontext_writer.h"
#include "common/runtime/task.h"

#define MAX_LISTED 1000

struct listing {
  struct jsontext_writer json;
  size_t listed;
};

static void write_id(struct jsontext_writer *json, const char *name, struct slice id)
{
  if (id.size > 0)
    jsontext_key_string(json, name, id);
}

static bool write_task(void *arg, const struct task_info *info)
{
  struct listing *listing = arg;
  struct jsontext_writer *json = &listing->json;
  jsontext_begin_object(json);
  jsontext_key_string(json, "method", info->context.method);
  jsontext_key_string(json, "state", slice_from_string(info->state));
  if (info->waiting_for != NULL)
    jsontext_key_string(json, "waitingFor", slice_from_string(info->waiting_for));
  jsontext_key_int(json, "ageMs", (int64_t)(info->age_us / 1000));
  if (info->deadline_us != DEADLINE_NONE)
    jsontext_key_int(json, "deadlineMs", (int64_t)deadline_left_ms(info->deadline_us, clock_now_us()));
  jsontext_key_bool(json, "cancelled", info->cancelled);
  write_id(json, "requestId", info->context.request_id);
  write_id(json, "traceId", info->context.trace_id);
  jsontext_end_object(json);
  return ++listing->listed < MAX_LISTED;
}

void task_list_render(struct loop *loop, struct strbuf *out)
{
  struct listing listing = {0};
  jsontext_writer_init(&listing.json, out);
  jsontext_begin_object(&listing.json);
  jsontext_key_int(&listing.json, "count", (int64_t)loop_task_count(loop));
  jsontext_key(&listing.json, SLICE("tasks"));
  jsontext_begin_array(&listing.json);
  loop_visit_tasks(loop, write_task, &listing);
  jsontext_end_array(&listing.json);
  jsontext_end_object(&listing.json);
}
