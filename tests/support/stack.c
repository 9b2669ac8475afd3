#include "tests/support/stack.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"

#define WAIT_SECONDS 180

static void read_all(int fd, struct strbuf *out)
{
  ssize_t size;
  do {
    char *place = strbuf_reserve(out, 4096);
    size = read(fd, place, 4096);
    out->size += size > 0 ? (size_t)size : 0;
  } while (size > 0);
}

const char *output_of(const char *const *arguments)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t pid;
  int failed = posix_spawnp(&pid, arguments[0], &actions, NULL, (char *const *)(uintptr_t)arguments, environ);
  cr_assert_eq(failed, 0, "%s: %s", arguments[0], strerror(failed));
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  struct strbuf out;
  strbuf_init(&out, 0);
  read_all(ends[0], &out);
  close(ends[0]);
  int status;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  const char *result = text("%s", strbuf_cstring(&out));
  strbuf_free(&out);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s failed: %s", arguments[0], arguments[1], result);
  return result;
}

void stack(const char *action, const char *name)
{
  (void)output_of((const char *const[]){"deploy/local/stack", action, name, NULL});
}

const char *stack_programs(void)
{
  return text("%s/..", need_variable("BULKHEAD_BIN"));
}

void stack_restart_items_from(const char *out)
{
  stack("stop", "item-1");
  stack("stop", "item-2");
  cr_assert_eq(setenv("OUT", out, 1), 0);
  stack("start", "item-1");
  stack("start", "item-2");
  wait_until_healthy();
}

static pid_t pid_of(const char *name)
{
  const char *found =
      output_of((const char *const[]){"cat", text("%s/pids/%s", need_variable("BULKHEAD_RUN_DIR"), name), NULL});
  pid_t pid = (pid_t)strtol(found, NULL, 10);
  cr_assert_gt(pid, 1, "%s does not run: %s", name, found);
  return pid;
}

const char *secret_of_stack(const char *name)
{
  const char *path = text("%s/secrets/%s", need_variable("BULKHEAD_RUN_DIR"), name);
  char *secret = (char *)(uintptr_t)output_of((const char *const[]){"cat", path, NULL});
  secret[strcspn(secret, "\n")] = '\0';
  return secret;
}

size_t log_size(const char *name)
{
  struct stat file;
  if (stat(text("%s/log/%s.log", need_variable("BULKHEAD_RUN_DIR"), name), &file) != 0)
    return 0;
  return (size_t)file.st_size;
}

const char *log_since(const char *name, size_t size)
{
  return output_of((const char *const[]){"tail", "-c", text("+%zu", size + 1),
                                         text("%s/log/%s.log", need_variable("BULKHEAD_RUN_DIR"), name), NULL});
}

struct http_reply consul_get(const char *path)
{
  return HTTP(.path = path, .base_url = need_variable("BULKHEAD_CONSUL_URL"), .timeout_ms = 5000,
              .headers = {text("X-Consul-Token: %s", secret_of_stack("consul_management"))});
}

void stack_signal(const char *name, int number)
{
  cr_assert_eq(kill(pid_of(name), number), 0, "%s: %s", name, strerror(errno));
}

const char *sql(const char *format, ...)
{
  char query[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(query, sizeof(query), format, args);
  va_end(args);
  char *result =
      (char *)(uintptr_t)output_of((const char *const[]){text("%s/psql", need_variable("BULKHEAD_PG_BIN")), "-XqAt",
                                                         "-c", query, "-d", need_variable("BULKHEAD_PG"), NULL});
  result[strcspn(result, "\n")] = '\0';
  return result;
}

struct sql_transaction {
  FILE *psql;        // its standard input
  const char *name;  // of the session
};

static bool holds_locks(const void *arg)
{
  const struct sql_transaction *transaction = arg;
  return strcmp(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND "
                    "state = 'idle in transaction' AND query NOT LIKE 'BEGIN%%'",
                    transaction->name),
                "1") == 0;
}

struct sql_transaction *sql_begin(const char *statement)
{
  struct sql_transaction *transaction = malloc(sizeof(*transaction));
  cr_assert_not_null(transaction);
  transaction->name = fresh_word();
  transaction->psql = popen(text("PGAPPNAME=%s exec '%s/psql' -XqAt -d '%s' > /dev/null", transaction->name,
                                 need_variable("BULKHEAD_PG_BIN"), need_variable("BULKHEAD_PG")),
                            "w");
  cr_assert_not_null(transaction->psql);
  fprintf(transaction->psql, "BEGIN;\n%s;\n", statement);
  cr_assert_eq(fflush(transaction->psql), 0);
  wait_until(holds_locks, transaction, text("the lock of %s", statement));
  return transaction;
}

void sql_commit(struct sql_transaction *transaction)
{
  fputs("COMMIT;\n", transaction->psql);
  cr_assert_eq(pclose(transaction->psql), 0, "psql failed");
  free(transaction);
}

static void pause_ms(long ms)
{
  nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

void wait_until(bool (*holds)(const void *arg), const void *arg, const char *what)
{
  uint64_t end = clock_now_us() + WAIT_SECONDS * UINT64_C(1000000);
  while (!holds(arg)) {
    cr_assert_lt(clock_now_us(), end, "%s did not come about within %d s", what, WAIT_SECONDS);
    pause_ms(50);
  }
}

static int passing(const char *service)
{
  struct http_reply reply = consul_get(text("/v1/health/service/%s?passing", service));
  return reply.status == 200 && reply.body[0] == '[' ? http_json_count(&reply, "") : 0;
}

// Reads a metric by the text before its number; -1 where there is none.
static double read_metric(const char *admin_url, const char *series)
{
  struct http_reply reply = HTTP(.path = "/metrics", .base_url = admin_url, .timeout_ms = 5000);
  const char *line = reply.status == 200 ? strstr(reply.body, series) : NULL;
  return line == NULL ? -1 : strtod(line + strlen(series), NULL);
}

// Reads a metric of the gateway, the sum over its workers.
static double gateway_metric(const char *series)
{
  return read_metric(need_variable("BULKHEAD_ADMIN_URL"), series);
}

static int count_gateway_workers(void)
{
  int pid = (int)pid_of("gateway");
  const char *children = output_of((const char *const[]){"cat", text("/proc/%d/task/%d/children", pid, pid), NULL});
  int count = 0;
  for (; *children != '\0'; children++)
    count += *children == ' ';
  return count;
}

// Tells whether every worker of the gateway has its connections. The metric is the sum over the workers. A connection
// to an instance that Consul has not listed for a moment stays for half a minute beside the new one, so there may be
// more. `kinds` says how many a worker has to an instance: one, and one for expensive calls where the service has such.
static bool is_connected(const char *service, int instances, int kinds)
{
  double connections = gateway_metric(text("bulkhead_rpc_endpoints{service=\"%s\"}", service));
  return connections > 0 && connections >= instances * kinds * count_gateway_workers();
}

static bool healthy(const void *arg)
{
  (void)arg;
  if (passing("auth") < 1 || passing("user") < 1 || passing("item") < 2 || passing("gateway") < 1)
    return false;
  if (!is_connected("auth", 1, 1) || !is_connected("user", 1, 1) || !is_connected("item", 2, 2))
    return false;
  // A login goes from the gateway to auth and on to user; the refusal of an unknown account shows that all three talk.
  // Another account each time, because failed logins to one are limited.
  if (account_login(fresh_email(), "nothing at all").status != 401)
    return false;
  // A sign-up goes from user to auth, so it works only once these two have found each other.
  return account_sign_up(fresh_email(), "correct horse battery").status == 201;
}

void wait_until_healthy(void)
{
  wait_until(healthy, NULL, "a healthy stack");
}

// Returns the address of a service's admin port, from the log line with which it became ready last.
static const char *admin_url(const char *name)
{
  const char *addresses =
      output_of((const char *const[]){"sed", "-n", "s/.*\"message\":\"ready\".*\"admin\":\"\\([^\"]*\\)\".*/ \\1/p",
                                      text("%s/log/%s.log", need_variable("BULKHEAD_RUN_DIR"), name), NULL});
  const char *last = strrchr(addresses, ' ');
  cr_assert_not_null(last, "%s has not become ready", name);
  return text("http://%.*s", (int)strcspn(last + 1, "\n"), last + 1);
}

double metric_sum(const char *process, const char *series)
{
  const char *url = strcmp(process, "gateway") == 0 ? need_variable("BULKHEAD_ADMIN_URL") : admin_url(process);
  struct http_reply reply = HTTP(.path = "/metrics", .base_url = url);
  cr_assert_eq(reply.status, 200);
  double sum = 0;
  const char *prefix = text("\n%s", series);
  for (const char *at = strstr(reply.body, prefix); at != NULL; at = strstr(at + 1, prefix)) {
    const char *number = memrchr(at + 1, ' ', strcspn(at + 1, "\n"));
    cr_assert_not_null(number);
    sum += strtod(number, NULL);
  }
  return sum;
}

// Changes go to both instances by turns or nearly so; eight in a row leave none out but by rare chance.
static bool items_change(const void *arg)
{
  const struct account *owner = arg;
  struct http_reply made =
      HTTP(.path = "/v1/items", .token = owner->token, .timeout_ms = 5000,
           .body = text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"price\":\"1\",\"currency\":\"EUR\"}", fresh_word()));
  bool changes = made.status == 201;
  for (int i = 0; changes && i < 8; i++)
    changes = HTTP(.method = "PATCH", .path = text("/v1/items/%s", http_json(&made, "id")), .token = owner->token,
                   .timeout_ms = 5000, .body = text("{\"quantity\":%d}", i + 1))
                  .status == 200;
  return changes;
}

void wait_until_items_change(void)
{
  struct account owner = account_create();
  wait_until(items_change, &owner, "items that can be changed");
}

static bool caching(const void *arg)
{
  (void)arg;
  const char *series = "bulkhead_cache_serving{cache=\"item.v1.1\"}";
  return read_metric(admin_url("item-1"), series) > 0 && read_metric(admin_url("item-2"), series) > 0;
}

void wait_until_caching(void)
{
  wait_until(caching, NULL, "the use of both caches");
}

static void signal_postgres(int number)
{
  stack_signal("postgres", number);
  const char *pid = text("%d", (int)pid_of("postgres"));
  (void)output_of((const char *const[]){"pkill", text("-%d", number), "-P", pid, NULL});
}

static bool is_postgres_away(const void *arg)
{
  static const char *const names[] = {"auth-1", "user-1", "item-1", "item-2"};
  (void)arg;
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    struct http_reply reply = HTTP(.path = "/readyz", .base_url = admin_url(names[i]), .timeout_ms = 5000);
    if (strstr(reply.body, "\"postgres\":\"down\"") == NULL)
      return false;
  }
  return true;
}

void freeze_postgres(void)
{
  signal_postgres(SIGSTOP);
  wait_until(is_postgres_away, NULL, "the notice that PostgreSQL is frozen");
}

void thaw_postgres(void)
{
  signal_postgres(SIGCONT);
}

struct background {
  pthread_t thread;
  void (*body)(void *arg);
  void *arg;
};

static void *run_background(void *opaque)
{
  struct background *background = opaque;
  background->body(background->arg);
  return NULL;
}

struct background *background_start(void (*body)(void *arg), void *arg)
{
  struct background *background = malloc(sizeof(*background));
  cr_assert_not_null(background);
  *background = (struct background){.body = body, .arg = arg};
  cr_assert_eq(pthread_create(&background->thread, NULL, run_background, background), 0);
  return background;
}

void background_let_others_first(void)
{
  const struct sched_param none = {0};
  cr_assert_eq(sched_setscheduler(0, SCHED_IDLE, &none), 0);
}

void background_join(struct background *background)
{
  pthread_join(background->thread, NULL);
  free(background);
}
