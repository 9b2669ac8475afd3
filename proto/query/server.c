#include "proto/query/server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/storage/migrate.h"
#include "proto/query/file.h"

#define START_TIMEOUT_MS 60000
#define MAX_MIGRATIONS 1000

// ---- programs ----

// Takes the folder that the caller named, as an absolute path, because the programs run in another folder.
static enum status take_named_programs(struct server *server, const char *named, struct error *error)
{
  char folder[PATH_MAX];
  if (realpath(named, folder) == NULL || access(arena_printf(server->arena, "%s/postgres", folder), X_OK) != 0)
    return error_set(error, STATUS_NOT_FOUND,
                     "BULKHEAD_PG_BIN is \"%s\", where no PostgreSQL server is; name the folder that holds the program "
                     "postgres, such as /usr/lib/postgresql/15/bin, or leave it out",
                     named);
  server->programs = arena_printf(server->arena, "%s", folder);
  return STATUS_OK;
}

static enum status find_programs(struct server *server, struct error *error)
{
  const char *named = getenv("BULKHEAD_PG_BIN");
  if (named != NULL && named[0] != '\0')
    return take_named_programs(server, named, error);
  glob_t found;
  int result = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found);
  if (result != 0)
    return error_set(error, STATUS_NOT_FOUND,
                     "queries are checked against a PostgreSQL server, and none is installed; run: make deps (the "
                     "Debian package is postgresql), or name the folder of its programs in BULKHEAD_PG_BIN");
  const char *newest = found.gl_pathv[found.gl_pathc - 1];
  server->programs = arena_string(server->arena, slice_make(newest, strlen(newest) - strlen("/postgres")));
  globfree(&found);
  return STATUS_OK;
}

static enum status find_user(struct server *server, struct error *error)
{
  if (geteuid() != 0)
    return STATUS_OK;
  struct passwd entry;
  struct passwd *user = NULL;
  char texts[16384];
  if (getpwnam_r("postgres", &entry, texts, sizeof(texts), &user) != 0 || user == NULL)
    return error_set(error, STATUS_NOT_FOUND,
                     "PostgreSQL refuses to run as root, and there is no user postgres; install the Debian package "
                     "postgresql, or build as another user");
  server->user = user->pw_uid;
  server->group = user->pw_gid;
  return STATUS_OK;
}

// Runs the program in place of the child process, as PostgreSQL's user. Its output goes to the folder's log.
// PostgreSQL's programs find each other by the path in arguments[0].
static void run_as_user(const struct server *server, char *const *arguments)
{
  char log[128];
  (void)snprintf(log, sizeof(log), "%s/log", server->folder);
  bool ready =
      server->user == 0 || (setgroups(0, NULL) == 0 && setgid(server->group) == 0 && setuid(server->user) == 0);
  int fd = ready ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (fd >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2 && chdir("/") == 0 && prctl(PR_SET_PDEATHSIG, SIGQUIT) == 0)
    (void)execv(arguments[0], arguments);
  _exit(127);
}

// Starts a program of PostgreSQL's. `arguments` begin with its name, which becomes its path.
static pid_t start_program(const struct server *server, char **arguments)
{
  arguments[0] = arena_printf(server->arena, "%s/%s", server->programs, arguments[0]);
  pid_t pid = fork();
  if (pid == 0)
    run_as_user(server, arguments);
  return pid;
}

static enum status fail_with_log(struct server *server, const char *what, struct error *error)
{
  struct slice log = SLICE("");
  struct error ignored;
  (void)!file_read(arena_printf(server->arena, "%s/log", server->folder), server->arena, &log, &ignored);
  if (log.size > 300)
    log = slice_skip(log, log.size - 300);
  return error_set(error, STATUS_UNAVAILABLE, "the private PostgreSQL for the queries: %s: " SLICE_FMT, what,
                   SLICE_ARG(slice_trim(log)));
}

// ---- interrupted ----

// The server that a signal must stop and remove.
static struct server *running;

// Stops the server and removes its files after a signal. Makes only calls that a signal handler may make.
static void clean_up_and_exit(int signal)
{
  if (running->pid > 0)
    (void)kill(running->pid, SIGQUIT);
  if (running->folder[0] != '\0' && fork() == 0) {
    (void)execl("/bin/rm", "rm", "-rf", "--", running->folder, (char *)NULL);
    _exit(127);
  }
  _exit(128 + signal);
}

static void catch_signals(struct server *server)
{
  running = server;
  const struct sigaction action = {.sa_handler = clean_up_and_exit};
  (void)sigaction(SIGINT, &action, NULL);
  (void)sigaction(SIGTERM, &action, NULL);
  (void)sigaction(SIGHUP, &action, NULL);
}

// ---- starting ----

// Removes the settings of libpq from the environment, because they name the caller's own server.
static void forget_libpq_settings(void)
{
  static const char *const NAMES[] = {"PGSERVICE",  "PGSERVICEFILE", "PGPORT",
                                      "PGHOSTADDR", "PGOPTIONS",     "PGCLIENTENCODING"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    (void)unsetenv(NAMES[i]);
}

static enum status make_folder(struct server *server, struct error *error)
{
  catch_signals(server);
  (void)snprintf(server->folder, sizeof(server->folder), "/tmp/bulkhead-query.XXXXXX");
  if (mkdtemp(server->folder) == NULL) {
    server->folder[0] = '\0';
    return error_set(error, STATUS_INTERNAL, "/tmp: %s", strerror(errno));
  }
  if (server->user != 0 && chown(server->folder, server->user, server->group) != 0)
    return error_set(error, STATUS_INTERNAL, "%s: %s", server->folder, strerror(errno));
  return STATUS_OK;
}

static enum status make_cluster(struct server *server, struct error *error)
{
  char *data = arena_printf(server->arena, "%s/data", server->folder);
  pid_t pid = start_program(server, (char *[]){"initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
                                               "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", NULL});
  int how = 0;
  if (pid < 0 || waitpid(pid, &how, 0) != pid || how != 0)
    return fail_with_log(server, "initdb failed", error);
  return STATUS_OK;
}

static const char *super_conninfo(const struct server *server)
{
  return arena_printf(server->arena, "host=%s user=postgres dbname=postgres", server->folder);
}

static enum status wait_ready(struct server *server, struct error *error)
{
  const char *conninfo = super_conninfo(server);
  uint64_t end_us = deadline_after_ms(clock_now_us(), START_TIMEOUT_MS);
  while (PQping(conninfo) != PQPING_OK) {
    if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
      server->pid = 0;
      return fail_with_log(server, "it ended at once", error);
    }
    if (clock_now_us() > end_us)
      return fail_with_log(server, "it was not ready in time", error);
    (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return STATUS_OK;
}

// Starts the server without flushes to the disk, because its data are thrown away.
static enum status start_server(struct server *server, struct error *error)
{
  forget_libpq_settings();
  enum status status = find_programs(server, error);
  if (status == STATUS_OK)
    status = find_user(server, error);
  if (status == STATUS_OK)
    status = make_folder(server, error);
  if (status == STATUS_OK)
    status = make_cluster(server, error);
  if (status != STATUS_OK)
    return status;
  char *data = arena_printf(server->arena, "%s/data", server->folder);
  char *sockets = arena_printf(server->arena, "unix_socket_directories=%s", server->folder);
  server->pid = start_program(server, (char *[]){"postgres",
                                                 "-D",
                                                 data,
                                                 "-c",
                                                 "listen_addresses=",
                                                 "-c",
                                                 sockets,
                                                 "-c",
                                                 "fsync=off",
                                                 "-c",
                                                 "full_page_writes=off",
                                                 "-c",
                                                 "synchronous_commit=off",
                                                 "-c",
                                                 "autovacuum=off",
                                                 "-c",
                                                 "shared_buffers=128MB",
                                                 "-c",
                                                 "max_wal_size=2GB",
                                                 "-c",
                                                 "jit=on",
                                                 NULL});
  if (server->pid < 0) {
    server->pid = 0;
    return fail_with_log(server, "fork failed", error);
  }
  return wait_ready(server, error);
}

// ---- the service's part ----

static enum status run_sql(const char *conninfo, const char *sql, struct error *error)
{
  PGconn *conn = PQconnectdb(conninfo);
  PGresult *result = PQexec(conn, sql);
  enum status status = STATUS_OK;
  if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
    status = error_set(error, STATUS_INTERNAL, "%s", PQerrorMessage(conn));
  PQclear(result);
  PQfinish(conn);
  return status;
}

// Makes the schema in a database for this service alone, so that services cannot see each other. Unlike in
// deploy/postgres/bootstrap.sql, the service's role owns it: the statements are prepared and explained as the owner.
static enum status bootstrap(const struct server *server, const char *service, struct error *error)
{
  const char *super = super_conninfo(server);
  enum status status =
      run_sql(super,
              arena_printf(server->arena, "CREATE ROLE bulkhead_%s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT",
                           service),
              error);
  if (status == STATUS_OK)
    status = run_sql(super, arena_printf(server->arena, "CREATE DATABASE service_%s", service), error);
  if (status != STATUS_OK)
    return status;
  return run_sql(arena_printf(server->arena, "%s dbname=service_%s", super, service),
                 arena_printf(server->arena,
                              "CREATE SCHEMA \"%s\" AUTHORIZATION bulkhead_%s;"
                              "ALTER ROLE bulkhead_%s SET search_path = \"%s\";"
                              "REVOKE ALL ON SCHEMA public FROM PUBLIC",
                              service, service, service, service),
                 error);
}

// Takes the name out of the path of a migration: "services/item/migrations/0001_items.up.sql" gives "items".
static const char *migration_name(const char *path, struct arena *arena)
{
  const char *base = strrchr(path, '/') + 1;
  const char *name = strchr(base, '_');
  name = name == NULL ? base : name + 1;
  return arena_string(arena, slice_make(name, strlen(name) - strlen(".up.sql")));
}

// A mistake in a file begins with its name and line. With the folder in front, editors find it.
static void name_migration(struct error *error, const char *service)
{
  struct error mistake = *error;
  bool is_of_a_file = mistake.message[0] >= '0' && mistake.message[0] <= '9';
  (void)error_set(error, mistake.status, "services/%s/migrations%s%s", service, is_of_a_file ? "/" : ": ",
                  mistake.message);
}

// Applies the migrations in files; `set` says how many, of which schema, and where they are listed.
static enum status apply(const struct server *server, struct migration_set set, const struct sql_file *files,
                         struct error *error)
{
  struct migration *migrations = arena_zalloc(server->arena, (set.count + 1) * sizeof(*migrations));
  for (size_t i = 0; i < set.count; i++)
    migrations[i] = (struct migration){
        .version = (unsigned)i + 1,
        .name = migration_name(files[i].path, server->arena),
        .up = files[i].text,
        .down = SLICE(""),
    };
  set.migrations = migrations;
  size_t applied = 0;
  return migrate_up(server_conninfo(server, set.schema), &set, &applied, error);
}

// Applies what the program does: the migrations of every service, then its own.
static enum status migrate(const struct server *server, const struct service_source *service, struct error *error)
{
  const struct migration_set common = {
      .schema = service->name, .count = service->common_migration_count, .table = "common_migrations"};
  const struct migration_set own = {.schema = service->name, .count = service->migration_count};
  enum status status = apply(server, common, service->common_migrations, error);
  if (status != STATUS_OK) {
    error_prefix(error, "common/service/migrations");
    return status;
  }
  status = apply(server, own, service->migrations, error);
  if (status != STATUS_OK)
    name_migration(error, service->name);
  return status;
}

enum status server_open(struct server *server, const struct service_source *service, struct error *error)
{
  enum status status = server->pid == 0 ? start_server(server, error) : STATUS_OK;
  if (status == STATUS_OK)
    status = bootstrap(server, service->name, error);
  if (status == STATUS_OK)
    status = migrate(server, service, error);
  return status;
}

const char *server_conninfo(const struct server *server, const char *service)
{
  return arena_printf(server->arena, "host=%s user=bulkhead_%s dbname=service_%s options='-c TimeZone=UTC'",
                      server->folder, service, service);
}

// ---- the end ----

static void remove_folder(const struct server *server)
{
  pid_t pid = fork();
  if (pid == 0) {
    (void)execlp("rm", "rm", "-rf", "--", server->folder, (char *)NULL);
    _exit(127);
  }
  if (pid > 0)
    (void)waitpid(pid, NULL, 0);
}

void server_stop(struct server *server)
{
  if (server->pid > 0) {
    // SIGQUIT is PostgreSQL's immediate shutdown; its data are not needed any more.
    (void)kill(server->pid, SIGQUIT);
    (void)waitpid(server->pid, NULL, 0);
    server->pid = 0;
  }
  if (server->folder[0] != '\0')
    remove_folder(server);
  server->folder[0] = '\0';
}
