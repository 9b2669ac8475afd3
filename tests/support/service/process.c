#include "tests/support/service/process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

// How long any wait may take. This is far more than needed, so it ends only tests that fail.
#define PATIENCE_MS 60000
#define POLL_MS 2
#define LOG_PATH_BYTES 256

// ---- logs ----

// Makes the path of a log file. A process writes into it, and its test reads it as it grows. The file has the test's
// name, so that the test runner, another process, finds it and shows what a service said whose test has failed.
static const char *log_path(char *buffer, size_t size, pid_t runner, const struct criterion_test *test, int number)
{
  snprintf(buffer, size, "/tmp/bulkhead-test-log-%d-%s-%s-%d", (int)runner, test->category, test->name, number);
  return buffer;
}

static void show_log(const char *path, const struct criterion_test *test)
{
  FILE *file = fopen(path, "r");
  if (file == NULL)
    return;
  fprintf(stderr, "---- what a process of %s::%s said ----\n", test->category, test->name);
  char line[4096];
  while (fgets(line, sizeof(line), file) != NULL)
    fputs(line, stderr);
  fprintf(stderr, "---- the end of what it said ----\n");
  fclose(file);
}

// Shows the output of a failed test's processes, in the test runner after each test.
ReportHook(POST_TEST)(struct criterion_test_stats *stats)
{
  char path[LOG_PATH_BYTES];
  bool failed = stats->test_status == CR_STATUS_FAILED || stats->crashed || stats->timed_out;
  for (int number = 0;; number++) {
    log_path(path, sizeof(path), getpid(), stats->test, number);
    if (access(path, F_OK) != 0)
      return;
    if (failed)
      show_log(path, stats->test);
    unlink(path);
  }
}

// Removes what is left at the end, such as the logs of programs that a test's teardown has run.
ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
  (void)stats;
  char pattern[LOG_PATH_BYTES];
  snprintf(pattern, sizeof(pattern), "/tmp/bulkhead-test-log-%d-*", (int)getpid());
  glob_t found;
  if (glob(pattern, 0, NULL, &found) != 0)
    return;
  for (size_t i = 0; i < found.gl_pathc; i++)
    unlink(found.gl_pathv[i]);
  globfree(&found);
}

static int open_log(struct process *process)
{
  static int number;
  char path[LOG_PATH_BYTES];
  log_path(path, sizeof(path), getppid(), criterion_current_test, number++);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  cr_assert_neq(fd, -1, "%s: %s", path, strerror(errno));
  process->output_fd = open(path, O_RDONLY | O_CLOEXEC);
  cr_assert_neq(process->output_fd, -1);
  return fd;
}

// ---- life ----

uint64_t patience_end_us(void)
{
  return deadline_after_ms(clock_now_us(), PATIENCE_MS);
}

void process_prepare(struct process *process)
{
  *process = (struct process){.pid = -1};
  strbuf_init(&process->output, 0);
  snprintf(process->folder, sizeof(process->folder), "/tmp/bulkhead-test-XXXXXX");
  cr_assert_not_null(mkdtemp(process->folder));
  snprintf(process->url, sizeof(process->url), "ipc://%s/rpc.sock", process->folder);
}

void process_prepare_again(struct process *process)
{
  process->pid = -1;
  process->admin[0] = '\0';
  process->has_ended = false;
  strbuf_init(&process->output, 0);
  cr_assert_eq(mkdir(process->folder, 0700), 0);
}

void process_launch(struct process *process, const char *program, char *const *arguments,
                    const char *const *environment)
{
  int log = open_log(process);
  process->pid = fork();
  cr_assert_neq(process->pid, -1);
  if (process->pid == 0) {
    // The process ends with the test, because a test that fails half-way does not stop it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
      putenv((char *)(uintptr_t)environment[i]);
    execvp(program, arguments);
    _exit(127);
  }
  close(log);
}

// True once the process has ended, after which no more output comes.
static bool has_ended(struct process *process)
{
  siginfo_t info = {0};
  if (!process->has_ended)
    process->has_ended =
        waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == process->pid;
  return process->has_ended;
}

// Waits for more output; false at its end.
static bool read_output(struct process *process)
{
  char buffer[4096];
  uint64_t end_us = patience_end_us();
  for (;;) {
    bool ended = has_ended(process);
    ssize_t count = read(process->output_fd, buffer, sizeof(buffer));
    cr_assert_geq(count, 0);
    if (count > 0) {
      strbuf_add(&process->output, slice_make(buffer, (size_t)count));
      return true;
    }
    if (ended)
      return false;
    cr_assert_lt(clock_now_us(), end_us, "nothing more came within %d s", PATIENCE_MS / 1000);
    poll(NULL, 0, POLL_MS);
  }
}

void process_wait_output(struct process *process, const char *text)
{
  while (strstr(strbuf_cstring(&process->output), text) == NULL)
    cr_assert(read_output(process), "it ended without \"%s\": %s", text, strbuf_cstring(&process->output));
}

void process_wait_admin(struct process *process)
{
  process_wait_output(process, "\"admin\":\"");
  // The service writes the line in one piece, but a read may end in the middle of it.
  const char *from;
  while (strchr(from = strstr(strbuf_cstring(&process->output), "\"admin\":\"") + 9, '"') == NULL)
    cr_assert(read_output(process));
  snprintf(process->admin, sizeof(process->admin), "%.*s", (int)strcspn(from, "\""), from);
}

void process_wait_ready(struct process *process)
{
  process_wait_admin(process);
  process_wait_http(process, "/readyz", "200 OK");
}

static void remove_folder(const char *path)
{
  DIR *folder = opendir(path);
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
    unlinkat(dirfd(folder), entry->d_name, 0);
  if (folder != NULL)
    closedir(folder);
  rmdir(path);
}

int process_end(struct process *process)
{
  while (read_output(process))
    continue;
  close(process->output_fd);
  // This does not block, because read_output has seen the end of the process.
  int result = 0;
  cr_assert_eq(waitpid(process->pid, &result, 0), process->pid);
  remove_folder(process->folder);
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

void process_free(struct process *process)
{
  strbuf_free(&process->output);
}

int process_stop(struct process *process)
{
  kill(process->pid, SIGTERM);
  return process_end(process);
}

// ---- HTTP ----

static int connect_to(const char *where)
{
  const char *colon = strchr(where, ':');
  cr_assert_not_null(colon);
  uint64_t port = 0;
  cr_assert(slice_to_uint64(slice_from_string(colon + 1), 1, 65535, &port));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  return fd;
}

const char *process_http(const struct process *process, const char *request, struct strbuf *answer)
{
  return http_at(process->admin, request, answer);
}

const char *http_at(const char *address, const char *request, struct strbuf *answer)
{
  strbuf_clear(answer);
  int fd = connect_to(address);
  cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
  char buffer[4096];
  ssize_t count;
  while ((count = recv(fd, buffer, sizeof(buffer), 0)) > 0)
    strbuf_add(answer, slice_make(buffer, (size_t)count));
  close(fd);
  return strbuf_cstring(answer);
}

void process_wait_http(const struct process *process, const char *path, const char *text)
{
  char request[128];
  snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n", path);
  struct strbuf answer;
  strbuf_init(&answer, 0);
  uint64_t end_us = patience_end_us();
  while (strstr(process_http(process, request, &answer), text) == NULL) {
    cr_assert_lt(clock_now_us(), end_us, "%s has not said \"%s\" within %d s; it says: %s", path, text,
                 PATIENCE_MS / 1000, strbuf_cstring(&answer));
    poll(NULL, 0, POLL_MS);
  }
  strbuf_free(&answer);
}
