// The command line of a service binary: a table of built-in commands, followed by the service's own.
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/observe/crash.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/service/common_migrations_internal.h"
#include "common/service/service_internal.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_WRONG_USE = 2 };

// How long a command of a service waits for PostgreSQL.
#define COMMAND_CONNECT_MS 10000
#define COMMAND_GRACE_MS 5000

struct builtin {
  const char *name;
  const char *arguments;
  const char *help;
  bool needs_settings;
  int (*run)(struct service *service, int argc, char **argv);
};

static int fail(const struct service *service, int code, const char *message)
{
  fprintf(stderr, "%s: %s\n", service->definition->name, message);
  return code;
}

// Prints each line of `text` on standard error, with the service's name in front, and frees it.
static void say_lines(const struct service *service, struct strbuf *text)
{
  for (const char *line = strbuf_cstring(text); *line != '\0';) {
    size_t size = strcspn(line, "\n");
    fprintf(stderr, "%s: %.*s\n", service->definition->name, (int)size, line);
    line += size + (line[size] == '\n');
  }
  strbuf_free(text);
}

static int print(struct strbuf *text)
{
  fwrite(text->data, 1, text->size, stdout);
  strbuf_free(text);
  return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

// ---- serve ----

// Says what is wrong with the settings together.
static int check_settings(const struct service *service)
{
  struct strbuf problems;
  strbuf_init(&problems, 0);
  enum status status = service_check_settings(service, &problems);
  say_lines(service, &problems);
  return status == STATUS_OK ? EXIT_OK : EXIT_WRONG_USE;
}

static int run_serve(struct service *service, int argc, char **argv)
{
  (void)argv;
  if (argc > 0)
    return fail(service, EXIT_WRONG_USE, "serve takes no arguments");
  int code = check_settings(service);
  return code == EXIT_OK ? service_serve(service) : code;
}

// ---- migrate ----

static int run_migrate_up(struct service *service, char **argv)
{
  (void)argv;
  struct error error;
  size_t applied = 0;
  if (migrations_up(service_migrate_conninfo(service), service->definition->migrations, &applied, &error) != STATUS_OK)
    return fail(service, EXIT_FAILED, error.message);
  printf("%zu migrations applied\n", applied);
  return EXIT_OK;
}

static int run_migrate_down(struct service *service, char **argv)
{
  uint64_t steps = 1;
  if (argv[0] != NULL && !slice_to_uint64(slice_from_string(argv[0]), 1, 9999, &steps))
    return fail(service, EXIT_WRONG_USE, "migrate down: the number of steps must be from 1 to 9999");
  struct error error;
  size_t reverted = 0;
  if (migrations_down(service_migrate_conninfo(service), service->definition->migrations, (size_t)steps, &reverted,
                      &error) != STATUS_OK)
    return fail(service, EXIT_FAILED, error.message);
  printf("%zu migrations taken back\n", reverted);
  return EXIT_OK;
}

static int run_migrate_status(struct service *service, char **argv)
{
  (void)argv;
  struct error error;
  struct strbuf out;
  strbuf_init(&out, 0);
  if (migrations_status(service_migrate_conninfo(service), service->definition->migrations, &out, &error) !=
      STATUS_OK) {
    strbuf_free(&out);
    return fail(service, EXIT_FAILED, error.message);
  }
  return print(&out);
}

static int run_migrate_create(struct service *service, char **argv)
{
  struct error error;
  struct strbuf out;
  strbuf_init(&out, 0);
  char folder[256];
  snprintf(folder, sizeof(folder), "services/%s/migrations", service->definition->name);
  if (migrate_create(folder, argv[0], &out, &error) != STATUS_OK) {
    strbuf_free(&out);
    return fail(service, EXIT_FAILED, error.message);
  }
  return print(&out);
}

static const struct {
  const char *name;
  int min_arguments;
  int max_arguments;
  bool needs_settings;
  int (*run)(struct service *service, char **argv);
} migrate_commands[] = {
    {"up", 0, 0, true, run_migrate_up},
    {"down", 0, 1, true, run_migrate_down},
    {"status", 0, 0, true, run_migrate_status},
    {"create", 1, 1, false, run_migrate_create},
};

// Loads the settings. Wrong settings have the same exit code as a wrong command line: the operator must correct both.
static int load_settings(struct service *service)
{
  struct strbuf problems;
  strbuf_init(&problems, 0);
  enum status status = service_load_settings(service, service->definition, &problems);
  say_lines(service, &problems);
  if (status != STATUS_OK)
    return EXIT_WRONG_USE;
  enum log_level level = LOG_INFO;
  // The setting's choices are the names of the levels, so this succeeds.
  if (log_level_parse(slice_from_string(service->common.log_level), &level))
    log_init(service->definition->name, level);
  return EXIT_OK;
}

static int run_migrate(struct service *service, int argc, char **argv)
{
  if (service->definition->migrations == NULL)
    return fail(service, EXIT_WRONG_USE, "this service has no migrations");
  for (size_t i = 0; argc > 0 && i < ARRAY_LEN(migrate_commands); i++) {
    if (strcmp(argv[0], migrate_commands[i].name) != 0)
      continue;
    if (argc - 1 < migrate_commands[i].min_arguments || argc - 1 > migrate_commands[i].max_arguments)
      break;
    int code = migrate_commands[i].needs_settings ? load_settings(service) : EXIT_OK;
    return code == EXIT_OK ? migrate_commands[i].run(service, argv + 1) : code;
  }
  return fail(service, EXIT_WRONG_USE, "usage: migrate up | down [n] | status | create <name>");
}

// ---- check-config, version, help ----

static void find_unknown_settings(const struct service_definition *definition, struct strbuf *out)
{
  const struct setting_table tables[] = {
      {.settings = common_settings_table, .count = common_settings_count},
      {.settings = definition->settings, .count = definition->setting_count},
  };
  char prefix[64];
  snprintf(prefix, sizeof(prefix), "%s_", definition->name);
  for (char *at = prefix; *at != '\0'; at++)
    *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
  settings_find_unknown(prefix, tables, ARRAY_LEN(tables), out);
}

// A variable that looks like a misspelt setting fails the command, because a check before a roll-out should stop there.
// The service itself starts all the same: what it does not know may be another program's.
static int run_check_config(struct service *service, int argc, char **argv)
{
  (void)argv;
  if (argc > 0)
    return fail(service, EXIT_WRONG_USE, "check-config takes no arguments");
  struct strbuf unknown;
  strbuf_init(&unknown, 0);
  find_unknown_settings(service->definition, &unknown);
  bool has_unknown = unknown.size > 0;
  say_lines(service, &unknown);
  int code = load_settings(service);
  if (code == EXIT_OK)
    code = check_settings(service);
  if (code != EXIT_OK)
    return code;
  struct strbuf out;
  strbuf_init(&out, 0);
  // What holds where DRAIN_TIMEOUT is not set follows from the contracts.
  struct common_settings common = service->common;
  common.drain_timeout_ms = (int64_t)service_drain_timeout_ms(service);
  settings_print(common_settings_table, common_settings_count, &common, &out);
  settings_print(service->definition->settings, service->definition->setting_count, service->settings, &out);
  code = print(&out);
  return has_unknown ? EXIT_FAILED : code;
}

static int run_version(struct service *service, int argc, char **argv)
{
  (void)argc, (void)argv;
  printf("%s %s\n", service->definition->name, BULKHEAD_VERSION);
  return EXIT_OK;
}

static int run_help(struct service *service, int argc, char **argv);

static const struct builtin builtins[] = {
    {"serve", "", "Serve until SIGTERM or SIGINT; what happens without a command.", true, run_serve},
    {"migrate", "up | down [n] | status | create <name>", "Change or show the database schema.", false, run_migrate},
    {"check-config", "",
     "Show the settings that hold now, secrets hidden; name all that are wrong (exit status 2) or misspelt (1).", false,
     run_check_config},
    {"help", "", "Show this.", false, run_help},
    {"version", "", "Show the version.", false, run_version},
};

static void describe_command(struct strbuf *out, const char *name, const char *arguments, const char *help)
{
  strbuf_printf(out, "  %s%s%s\n      %s\n", name, arguments[0] == '\0' ? "" : " ", arguments, help);
}

static int run_help(struct service *service, int argc, char **argv)
{
  (void)argc, (void)argv;
  const struct service_definition *definition = service->definition;
  struct strbuf out;
  strbuf_init(&out, 0);
  strbuf_printf(&out, "usage: %s [command]\n\nCommands:\n", definition->name);
  for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
    describe_command(&out, builtins[i].name, builtins[i].arguments, builtins[i].help);
  if (definition->job_count > 0)
    describe_command(&out, jobs_command.name, jobs_command.arguments, jobs_command.help);
  for (size_t i = 0; i < definition->command_count; i++)
    describe_command(&out, definition->commands[i].name, definition->commands[i].arguments,
                     definition->commands[i].help);
  strbuf_add_string(&out, "\nSettings, from the environment (or NAME_FILE, a file that holds the value):\n");
  settings_describe(common_settings_table, common_settings_count, &out);
  settings_describe(definition->settings, definition->setting_count, &out);
  return print(&out);
}

// ---- commands of the service's own ----

struct command_run {
  struct service *service;
  const struct service_command *command;
  int argc;
  char **argv;
  enum status status;
  struct error error;
};

static enum status connect_and_run(struct command_run *run)
{
  uint64_t deadline_us = task_tighten_deadline(deadline_after_ms(clock_now_us(), COMMAND_CONNECT_MS));
  enum status status = pg_wait_ready(run->service->pg);
  task_restore_deadline(deadline_us);
  if (status != STATUS_OK)
    return error_set(&run->error, status, "PostgreSQL cannot be reached; look at PG_CONNINFO");
  return run->command->run(run->service, run->argc, run->argv, &run->error);
}

static void run_command(void *arg)
{
  struct command_run *run = arg;
  run->status = connect_and_run(run);
  run->service->main_task = NULL;
  // The shield lets background tasks end before the loop does, also after a signal has cancelled this task.
  task_shield(true);
  if (!background_end_all(run->service, COMMAND_GRACE_MS))
    _exit(EXIT_FAILED);
  loop_stop(run->service->loop);
}

static void on_signal(void *arg, int number)
{
  (void)number;
  struct service *service = arg;
  if (service->main_task != NULL)
    task_cancel(service->main_task);
}

// Opens the service and runs the command as a task; returns the exit code.
static int start_command(struct service *service, const struct service_command *command, int argc, char **argv)
{
  struct command_run run = {.service = service, .command = command, .argc = argc, .argv = argv};
  if (service_open(service, on_signal, &run.error) != STATUS_OK)
    return fail(service, EXIT_WRONG_USE, run.error.message);
  static const struct log_context command_context = {.method = SLICE_INIT("command")};
  service->main_task = task_start(service->loop, run_command, &run, DEADLINE_NONE, &command_context);
  loop_run(service->loop);
  if (run.status == STATUS_OK)
    return EXIT_OK;
  return fail(service, EXIT_FAILED, run.error.message[0] != '\0' ? run.error.message : status_name(run.status));
}

static int run_own(struct service *service, const struct service_command *command, int argc, char **argv)
{
  if (argc < command->min_arguments || argc > command->max_arguments) {
    fprintf(stderr, "usage: %s %s %s\n", service->definition->name, command->name, command->arguments);
    return EXIT_WRONG_USE;
  }
  int code = load_settings(service);
  return code == EXIT_OK ? start_command(service, command, argc, argv) : code;
}

static int run_builtin(struct service *service, const struct builtin *builtin, int argc, char **argv)
{
  int code = builtin->needs_settings ? load_settings(service) : EXIT_OK;
  return code == EXIT_OK ? builtin->run(service, argc, argv) : code;
}

static int run_named(struct service *service, const char *name, int argc, char **argv)
{
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
    name = "help";
  if (strcmp(name, "--version") == 0)
    name = "version";
  for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
    if (strcmp(name, builtins[i].name) == 0)
      return run_builtin(service, &builtins[i], argc, argv);
  }
  if (service->definition->job_count > 0 && strcmp(name, jobs_command.name) == 0)
    return run_own(service, &jobs_command, argc, argv);
  for (size_t i = 0; i < service->definition->command_count; i++) {
    if (strcmp(name, service->definition->commands[i].name) == 0)
      return run_own(service, &service->definition->commands[i], argc, argv);
  }
  fprintf(stderr, "%s: there is no command \"%s\"; `%s help` lists them\n", service->definition->name, name,
          service->definition->name);
  return EXIT_WRONG_USE;
}

int service_main(const struct service_definition *definition, int argc, char **argv)
{
  // A peer that hangs up must fail one write, not end the process.
  signal(SIGPIPE, SIG_IGN);
  memory_keep_freed();
  crash_report_install();
  struct service service = {.definition = definition};
  log_init(definition->name, LOG_INFO);
  int code = argc < 2 ? run_named(&service, "serve", 0, NULL) : run_named(&service, argv[1], argc - 2, argv + 2);
  service_close(&service);
  return code;
}
