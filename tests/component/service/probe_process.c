#include "tests/component/service/probe_process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/component/service/probe.h"
#include "tests/support/common/service_keys.h"

#define MAX_ENVIRONMENT 16

void probe_start(struct process *probe, char *const *arguments, const char *const *environment)
{
  process_prepare(probe);
  struct arena arena;
  arena_init(&arena);
  const char *postgres = getenv("BULKHEAD_TEST_PG");
  const char *all[MAX_ENVIRONMENT + 1] = {
      "BULKHEAD_PROBE=1",
      "MIGRATE_ON_START=true",
      arena_printf(&arena, PROBE_FOLDER "=%s", probe->folder),
      arena_printf(&arena, "PG_CONNINFO=%s", postgres == NULL ? "" : postgres),
      arena_printf(&arena, "RPC_LISTEN=%s", probe->url),
      arena_printf(&arena, "RPC_STATIC=probe=%s", probe->url),
      arena_printf(&arena, "SERVICE_KEY=%s", service_keys_private()),
      arena_printf(&arena, "SERVICE_KEYS=%s", service_keys_public("probe")),
      arena_printf(&arena, "TOKEN_KEYS=%s", service_keys_public("probe")),
  };
  size_t count = 9;
  driver_know(probe->url, "probe");
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
    cr_assert_lt(count, MAX_ENVIRONMENT);
    all[count++] = environment[i];
  }
  char *none[] = {"probe", NULL};
  process_launch(probe, "/proc/self/exe", arguments == NULL ? none : arguments, all);
  arena_free(&arena);
}

void probe_serve(struct process *probe, const char *const *environment)
{
  probe_start(probe, NULL, environment);
  process_wait_ready(probe);
}

void probe_open(struct process *probe, struct driver *gateway, const char *const *environment)
{
  probe_serve(probe, environment);
  driver_open(gateway, probe->url, "gateway");
}

void probe_open_connected(struct process *probe, struct driver *gateway)
{
  probe_open(probe, gateway, NULL);
  process_wait_output(probe, "\"message\":\"connected to an endpoint\"");
}

void probe_close(struct process *probe, struct driver *gateway)
{
  driver_close(gateway);
  int code = process_stop(probe);
  cr_expect_eq(code, 0, "exit code %d: %s", code, strbuf_cstring(&probe->output));
  process_free(probe);
}

void probe_release(const struct process *probe)
{
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", probe->folder, PROBE_RELEASE_FILE);
  FILE *file = fopen(path, "w");
  cr_assert_not_null(file);
  fclose(file);
}
