// Point selects: pg_query from many tasks on the pipelined connections, beside pgbench's prepared selects on the same
// server and table. BULKHEAD_TEST_PG names a database where the role may create tables (pgbench -i makes its own).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"
#include "common/storage/pg.h"

enum { TASKS = 64, SECONDS = 5, ROWS = 100000 };

static const struct pg_statement SELECT = {
    .name = "bench_select", .sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1", .lane = PG_LANE_POINT};

struct bench {
  struct loop *loop;
  struct pg *pg;
  uint64_t end_us;
  uint64_t selects;
  size_t running;
};

static void select_until_end(void *arg)
{
  struct bench *bench = arg;
  struct arena arena = {0};
  while (loop_now_us(bench->loop) < bench->end_us) {
    struct pg_params params;
    struct pg_result result;
    pg_params_init(&params, &arena);
    pg_add_int(&params, (int64_t)random_below(ROWS) + 1);
    CHECK(pg_query(bench->pg, &SELECT, &params, &arena, &result) == STATUS_OK && result.rows == 1);
    bench->selects++;
    arena_reset(&arena);
  }
  arena_free(&arena);
  if (--bench->running == 0)
    loop_stop(bench->loop);
}

static void start(void *arg)
{
  struct bench *bench = arg;
  CHECK(pg_wait_ready(bench->pg) == STATUS_OK);
  bench->end_us = clock_now_us() + SECONDS * UINT64_C(1000000);
  for (size_t i = 0; i < TASKS; i++)
    task_start(bench->loop, select_until_end, bench, DEADLINE_NONE, NULL);
}

static double run_ours(const char *conninfo)
{
  struct bench bench = {.loop = loop_create(), .running = TASKS};
  const struct pg_options options = {.conninfo = conninfo, .application_name = "bench_pg"};
  bench.pg = pg_create(bench.loop, &options);
  task_start(bench.loop, start, &bench, deadline_after_ms(clock_now_us(), 10000), NULL);
  loop_run(bench.loop);
  pg_free(&bench.pg);
  loop_free(&bench.loop);
  return (double)bench.selects / SECONDS;
}

// Runs the program and keeps its output, which must fit.
static void run_pgbench(char *const *argv, char *output, size_t size)
{
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    execvp(argv[0], argv);
    _exit(127);
  }
  close(ends[1]);
  size_t used = 0;
  ssize_t got;
  while (used + 1 < size && (got = read(ends[0], output + used, size - used - 1)) > 0)
    used += (size_t)got;
  output[used] = '\0';
  close(ends[0]);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
  const char *conninfo = getenv("BULKHEAD_TEST_PG");
  if (conninfo == NULL) {
    fprintf(stderr, "bench_pg: set BULKHEAD_TEST_PG to the connection string of a database for tests\n");
    return 2;
  }
  char *database = strdup(conninfo);
  char output[8192];
  run_pgbench((char *[]){"pgbench", "-i", "-q", "-s", "1", database, NULL}, output, sizeof(output));
  run_pgbench((char *[]){"pgbench", "-S", "-n", "-M", "prepared", "-c", "16", "-T", "5", database, NULL}, output,
              sizeof(output));
  const char *line = strstr(output, "tps = ");
  CHECK(line != NULL);
  double theirs = strtod(line + strlen("tps = "), NULL);
  double ours = run_ours(conninfo);
  printf("pgbench -S -M prepared -c 16: %.0f selects/s\npg_query, %d tasks: %.0f selects/s\nratio: %.2f\n", theirs,
         TASKS, ours, ours / theirs);
  free(database);
  return 0;
}
