// bulkhead-query: checks the queries of services against a private PostgreSQL and writes typed C for them.
//
//   bulkhead-query generate PROTOSET KEPT_FOLDER OUT_FOLDER SERVICE...
//   bulkhead-query plans PROTOSET SEED_FOLDER SERVICE...
//
// Run it in the root folder of the repository. A mistake in a query is reported as "file:line: query: what; what to
// write instead".
#include <stdio.h>
#include <string.h>

#include "proto/query/bind.h"
#include "proto/query/describe.h"
#include "proto/query/emit.h"
#include "proto/query/file.h"
#include "proto/query/kept.h"
#include "proto/query/migrations.h"
#include "proto/query/plans.h"
#include "proto/query/resolve.h"
#include "proto/query/server.h"
#include "proto/query/source.h"

struct run {
  struct arena arena;
  struct findings findings;
  struct error error;
  struct messages messages;
  struct server server;
};

// ---- steps ----

static enum status read_service(struct run *run, const char *name, struct service_source *service)
{
  enum status status = source_read(service, name, &run->arena, &run->findings, &run->error);
  if (status == STATUS_OK) {
    check_migrations(service, &run->findings);
    resolve_service(service, &run->messages, &run->findings);
  }
  return status;
}

static enum status describe(struct run *run, struct service_source *service)
{
  enum status status = server_open(&run->server, service, &run->error);
  if (status == STATUS_OK)
    status = describe_service(service, server_conninfo(&run->server, service->name), &run->arena, &run->findings,
                              &run->error);
  return status;
}

static enum status write_c(struct run *run, const struct service_source *service, const char *folder)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  emit_header(service, &run->arena, &text);
  enum status status = file_write(arena_printf(&run->arena, "%s/%s/queries.bh.h", folder, service->name),
                                  strbuf_slice(&text), &run->error);
  strbuf_clear(&text);
  emit_source(service, &run->arena, &text);
  if (status == STATUS_OK)
    status = file_write(arena_printf(&run->arena, "%s/%s/queries.bh.c", folder, service->name), strbuf_slice(&text),
                        &run->error);
  strbuf_free(&text);
  return status;
}

static enum status generate(struct run *run, const char *name, const char *kept_folder, const char *out_folder)
{
  size_t before = run->findings.count;
  struct service_source service;
  enum status status = read_service(run, name, &service);
  if (status != STATUS_OK || run->findings.count > before)
    return status;
  const char *kept = kept_path(&service, kept_folder, &run->arena);
  bool known = kept_read(&service, kept, &run->arena);
  if (!known)
    status = describe(run, &service);
  if (status == STATUS_OK && run->findings.count == before)
    bind_service(&service, &run->findings);
  if (status != STATUS_OK || run->findings.count > before)
    return status;
  if (!known)
    status = kept_write(&service, kept, &run->error);
  return status == STATUS_OK ? write_c(run, &service, out_folder) : status;
}

static enum status check_plans(struct run *run, const char *name, const char *seed_folder)
{
  size_t before = run->findings.count;
  struct service_source service;
  enum status status = read_service(run, name, &service);
  if (status == STATUS_OK && run->findings.count == before)
    status = describe(run, &service);
  if (status == STATUS_OK && run->findings.count == before)
    bind_service(&service, &run->findings);
  if (status == STATUS_OK && run->findings.count == before)
    status = plans_check(&service, server_conninfo(&run->server, name), seed_folder, &run->arena, &run->findings,
                         &run->error);
  return status;
}

// ---- commands ----

static enum status run_generate(struct run *run, char **arguments)
{
  enum status status = STATUS_OK;
  for (char **name = arguments + 3; *name != NULL && status == STATUS_OK; name++)
    status = generate(run, *name, arguments[1], arguments[2]);
  return status;
}

static enum status run_plans(struct run *run, char **arguments)
{
  enum status status = STATUS_OK;
  for (char **name = arguments + 2; *name != NULL && status == STATUS_OK; name++)
    status = check_plans(run, *name, arguments[1]);
  return status;
}

static const struct {
  const char *name;
  int least;
  enum status (*run)(struct run *run, char **arguments);
} COMMANDS[] = {
    {"generate", 3, run_generate},
    {"plans", 2, run_plans},
};

static int finish(struct run *run, enum status status)
{
  server_stop(&run->server);
  if (run->findings.text.size > 0)
    fputs(strbuf_cstring(&run->findings.text), stderr);
  if (status != STATUS_OK)
    fprintf(stderr, "%s\n", run->error.message);
  int code = status == STATUS_OK && run->findings.count == 0 ? 0 : 1;
  strbuf_free(&run->findings.text);
  arena_free(&run->arena);
  return code;
}

int main(int argc, char **argv)
{
  struct run run = {.server = {.arena = &run.arena}};
  for (size_t i = 0; argc > 1 && i < ARRAY_LEN(COMMANDS); i++) {
    if (strcmp(argv[1], COMMANDS[i].name) != 0 || argc - 2 < COMMANDS[i].least)
      continue;
    enum status status = messages_load(&run.messages, argv[2], &run.arena, &run.error);
    if (status == STATUS_OK)
      status = COMMANDS[i].run(&run, argv + 2);
    return finish(&run, status);
  }
  fputs("usage: bulkhead-query generate PROTOSET KEPT_FOLDER OUT_FOLDER SERVICE...\n"
        "       bulkhead-query plans PROTOSET SEED_FOLDER SERVICE...\n",
        stderr);
  return 2;
}
