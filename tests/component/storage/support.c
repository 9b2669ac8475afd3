#include "tests/component/storage/support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/random.h"

static const char *environment(const char *name)
{
  const char *value = getenv(name);
  cr_assert_not_null(value, "set %s, as tests/with-servers does", name);
  return value;
}

const char *redis_url(void)
{
  return environment("BULKHEAD_TEST_REDIS");
}

// ---- worlds ----

static char *conninfo_with_schema(struct arena *arena, const char *conninfo, const char *schema)
{
  if (strstr(conninfo, "://") == NULL)
    return arena_printf(arena, "%s options='-c search_path=%s'", conninfo, schema);
  char mark = strchr(conninfo, '?') == NULL ? '?' : '&';
  return arena_printf(arena, "%s%coptions=-csearch_path%%3D%s", conninfo, mark, schema);
}

static void run_world(void *arg)
{
  struct world *world = arg;
  if (world->pg != NULL) {
    cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
    run_sql(world, arena_printf(&world->arena, "CREATE SCHEMA %s", world->schema));
  }
  world->body(world);
  if (world->pg != NULL)
    run_sql(world, arena_printf(&world->arena, "DROP SCHEMA %s CASCADE", world->schema));
  loop_stop(world->loop);
}

static void run_loop(struct world *world, void (*body)(struct world *world))
{
  uint64_t number;
  random_bytes(&number, sizeof(number));
  snprintf(world->schema, sizeof(world->schema), "t_%016llx", (unsigned long long)number);
  world->body = body;
  world->loop = loop_create();
}

static void finish_world(struct world *world)
{
  task_start(world->loop, run_world, world, deadline_after_ms(clock_now_us(), TEST_DEADLINE_MS), NULL);
  loop_run(world->loop);
  pg_free(&world->pg);
  loop_free(&world->loop);
  arena_free(&world->arena);
}

void with_loop(void (*body)(struct world *world))
{
  struct world world = {0};
  run_loop(&world, body);
  finish_world(&world);
}

void with_pg_options(struct pg_options options, void (*body)(struct world *world))
{
  struct world world = {0};
  run_loop(&world, body);
  world.conninfo = conninfo_with_schema(&world.arena, environment("BULKHEAD_TEST_PG"), world.schema);
  options.conninfo = world.conninfo;
  if (options.application_name == NULL)
    options.application_name = world.schema;
  world.pg = pg_create(world.loop, &options);
  finish_world(&world);
}

void with_pg(void (*body)(struct world *world))
{
  with_pg_options((struct pg_options){0}, body);
}

static struct pg_statement *new_statement(const char *sql)
{
  static unsigned count;
  static struct arena forever;
  struct pg_statement *made = arena_zalloc(&forever, sizeof(*made));
  made->name = arena_printf(&forever, "test_%u", count++);
  made->sql = arena_string(&forever, slice_from_string(sql));
  return made;
}

const struct pg_statement *statement(const char *sql, enum pg_lane lane)
{
  struct pg_statement *made = new_statement(sql);
  made->lane = lane;
  return made;
}

enum status run_status(struct world *world, const char *sql)
{
  struct pg_result result;
  return pg_query(world->pg, statement(sql, PG_LANE_WRITE), NULL, &world->arena, &result);
}

const char *cell_text(const struct pg_result *result, size_t row, size_t column)
{
  return pg_slice(result, row, column).data;
}

const char *run_sql(struct world *world, const char *sql)
{
  struct pg_result result;
  enum status status = pg_query(world->pg, statement(sql, PG_LANE_WRITE), NULL, &world->arena, &result);
  cr_assert_eq(status, STATUS_OK, "%s: %s", sql, status_name(status));
  return result.rows > 0 && result.columns > 0 ? cell_text(&result, 0, 0) : NULL;
}

void crew_start(struct crew *crew, void (*run)(void *arg), void *arg)
{
  crew->running++;
  task_start(crew->world->loop, run, arg, DEADLINE_NONE, NULL);
}

void crew_finished(struct crew *crew)
{
  if (--crew->running == 0 && crew->idle != NULL)
    completion_finish(crew->idle, STATUS_OK);
}

void crew_join(struct crew *crew)
{
  struct completion idle = COMPLETION_INIT;
  crew->idle = &idle;
  if (crew->running > 0)
    cr_assert_eq(completion_wait(&idle), STATUS_OK);
  crew->idle = NULL;
}

void ask(void *arg)
{
  struct ask *ask = arg;
  struct world *world = ask->crew->world;
  struct pg_params params;
  pg_params_init(&params, &world->arena);
  if (ask->text != NULL)
    pg_add_text(&params, ask->text);
  ask->status = pg_query(world->pg, ask->statement, &params, &world->arena, &ask->result);
  crew_finished(ask->crew);
}

void ask_all(struct world *world, struct ask *asks, size_t count)
{
  struct crew crew = {.world = world};
  for (size_t i = 0; i < count; i++) {
    asks[i].crew = &crew;
    crew_start(&crew, ask, &asks[i]);
  }
  crew_join(&crew);
}

void wait_until(bool (*holds)(void *arg), void *arg)
{
  while (!holds(arg))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK, "what the test waits for did not come");
}

// ---- the log ----

static int captured_fd;

void capture_log(void)
{
  captured_fd = memfd_create("log", MFD_CLOEXEC);
  cr_assert(captured_fd >= 0 && fcntl(captured_fd, F_SETFL, O_APPEND) == 0 && dup2(captured_fd, STDERR_FILENO) >= 0);
}

static bool line_has(struct slice line, const char *text)
{
  return text == NULL || memmem(line.data, line.size, text, strlen(text)) != NULL;
}

size_t count_logged(const char *text, const char *other)
{
  static char log[65536];
  ssize_t size = pread(captured_fd, log, sizeof(log) - 1, 0);
  cr_assert_geq(size, 0);
  struct slice rest = slice_make(log, (size_t)size);
  cr_expect(!line_has(rest, "s3cret"), "a password was logged");
  size_t count = 0;
  while (rest.size > 0) {
    size_t end = slice_find(rest, '\n', 0);
    struct slice line = slice_make(rest.data, end);
    count += line_has(line, text) && line_has(line, other);
    rest = slice_skip(rest, end + 1);
  }
  return count;
}

// ---- servers ----

// PostgreSQL refuses to run as root.
static void become_postgres(void)
{
  if (geteuid() != 0)
    return;
  const struct passwd *user = getpwnam("postgres");
  if (user == NULL || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
    _exit(126);
}

static int spawn(char *const *argv, bool as_postgres)
{
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child > 0)
    return child;
  FILE *quiet = freopen("/dev/null", "w", stdout);
  if (quiet == NULL || chdir("/") != 0)
    _exit(126);
  if (as_postgres)
    become_postgres();
  // The server ends with this process, because a failing test does not stop its servers.
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  execvp(argv[0], argv);
  _exit(127);
}

static void run(char *const *argv)
{
  int status = 0;
  int child = spawn(argv, true);
  cr_assert(waitpid(child, &status, 0) == child && status == 0, "%s failed with %d", argv[0], status);
}

static void make_folder(struct server *server, bool for_postgres)
{
  snprintf(server->folder, sizeof(server->folder), "/tmp/bulkhead-test-XXXXXX");
  cr_assert_not_null(mkdtemp(server->folder));
  const struct passwd *user = for_postgres && geteuid() == 0 ? getpwnam("postgres") : NULL;
  if (user != NULL)
    cr_assert_eq(chown(server->folder, user->pw_uid, user->pw_gid), 0);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
  (void)info, (void)type, (void)place;
  return remove(path);
}

static void remove_folder(const struct server *server)
{
  nftw(server->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void await_socket(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
  uint64_t end_us = deadline_after_ms(clock_now_us(), TEST_DEADLINE_MS);
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    if (failed == 0)
      return;
    cr_assert_lt(clock_now_us(), end_us, "no server at %s", path);
    usleep(2000);
  }
}

void redis_start(struct server *server)
{
  if (server->folder[0] == '\0')
    make_folder(server, false);
  char path[96];
  snprintf(path, sizeof(path), "%s/s", server->folder);
  server->pid = spawn((char *[]){"redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir",
                                 server->folder, "--logfile", "/dev/null", NULL},
                      false);
  await_socket(path);
}

void redis_kill(struct server *server)
{
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
}

void redis_stop(struct server *server)
{
  redis_kill(server);
  remove_folder(server);
}

const char *redis_server_url(struct world *world, const struct server *server)
{
  return arena_printf(&world->arena, "unix://%s/s", server->folder);
}

static char *tool(const char *name, char path[96])
{
  snprintf(path, 96, "/usr/lib/postgresql/15/bin/%s", name);
  if (access(path, X_OK) != 0)
    snprintf(path, 96, "%s", name);
  return path;
}

static void run_postgres(struct server *server)
{
  char path[96];
  char data[80];
  snprintf(data, sizeof(data), "%s/data", server->folder);
  server->pid =
      spawn((char *[]){tool("postgres", path), "-D", data, "-k", server->folder, "-c", "listen_addresses=", "-c",
                       "fsync=off", "-c", "shared_buffers=8MB", "-c", "log_min_messages=panic", NULL},
            true);
  char socket_path[96];
  snprintf(socket_path, sizeof(socket_path), "%s/.s.PGSQL.5432", server->folder);
  await_socket(socket_path);
}

void postgres_start(struct server *server)
{
  make_folder(server, true);
  char path[96];
  char data[80];
  snprintf(data, sizeof(data), "%s/data", server->folder);
  run((char *[]){tool("initdb", path), "-D", data, "-A", "trust", "-U", "test", "-N", "--no-locale", NULL});
  run_postgres(server);
}

void postgres_stop(struct server *server)
{
  kill(server->pid, SIGQUIT);
  waitpid(server->pid, NULL, 0);
  remove_folder(server);
}

void postgres_restart(struct server *server, bool immediate)
{
  kill(server->pid, immediate ? SIGQUIT : SIGINT);
  waitpid(server->pid, NULL, 0);
  run_postgres(server);
}

void postgres_signal(const struct server *server, int number)
{
  // The server stands still while its processes are counted, so that it makes no more of them; one that is killed first
  // has none left to count. It stands a moment after the signal.
  if (number != SIGCONT) {
    cr_assert_eq(kill(server->pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(server->pid, NULL, WUNTRACED), server->pid);
  }
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/task/%d/children", server->pid, server->pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char pids[1024];
  ssize_t size = read(fd, pids, sizeof(pids));
  cr_assert(size > 0 && size < (ssize_t)sizeof(pids), "%s cannot be read", path);
  close(fd);
  cr_assert_eq(kill(server->pid, number), 0);
  struct slice rest = slice_make(pids, (size_t)size);
  while (rest.size > 0) {
    size_t end = slice_find(rest, ' ', 0);
    int64_t pid;
    if (slice_to_int64(slice_make(rest.data, end), 2, INT32_MAX, &pid))
      kill((pid_t)pid, number);  // it may have ended meanwhile
    rest = slice_skip(rest, end + 1);
  }
}
