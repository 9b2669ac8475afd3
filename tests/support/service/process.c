#include "tests/support/service/process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
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

// Far above what anything here takes; it only bounds a test that fails.
#define PATIENCE_MS 60000

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
  strbuf_init(&process->output, 0);
  cr_assert_eq(mkdir(process->folder, 0700), 0);
}

void process_launch(struct process *process, const char *program, char *const *arguments,
                    const char *const *environment)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  process->pid = fork();
  cr_assert_neq(process->pid, -1);
  if (process->pid == 0) {
    // A test that fails half-way must not leave it behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
      putenv((char *)(uintptr_t)environment[i]);
    execvp(program, arguments);
    _exit(127);
  }
  close(ends[1]);
  process->output_fd = ends[0];
}

// False at the end of the output.
static bool read_output(struct process *process)
{
  struct pollfd ready = {.fd = process->output_fd, .events = POLLIN};
  cr_assert_gt(poll(&ready, 1, PATIENCE_MS), 0, "nothing more came after: %s", strbuf_cstring(&process->output));
  char buffer[4096];
  ssize_t count = read(process->output_fd, buffer, sizeof(buffer));
  if (count <= 0)
    return false;
  strbuf_add(&process->output, slice_make(buffer, (size_t)count));
  return true;
}

void process_wait_output(struct process *process, const char *text)
{
  while (strstr(strbuf_cstring(&process->output), text) == NULL)
    cr_assert(read_output(process), "it ended without \"%s\": %s", text, strbuf_cstring(&process->output));
}

void process_wait_admin(struct process *process)
{
  process_wait_output(process, "\"admin\":\"");
  // The line comes in one piece, but the pipe may cut it.
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
  while (strstr(process_http(process, request, &answer), text) == NULL)
    poll(NULL, 0, 2);
  strbuf_free(&answer);
}
