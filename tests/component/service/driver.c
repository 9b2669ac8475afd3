#include "tests/component/service/driver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/service/proto_memory.h"
#include "tests/component/service/probe.h"

// Far above what anything here takes; it only bounds a test that fails.
#define PATIENCE_MS 60000

static const char *own_environment(const char *const *environment, const char *name)
{
  size_t size = strlen(name);
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
    if (strncmp(environment[i], name, size) == 0 && environment[i][size] == '=')
      return environment[i] + size + 1;
  }
  return NULL;
}

static void set_default(const char *const *environment, const char *name, const char *value)
{
  const char *own = own_environment(environment, name);
  setenv(name, own != NULL ? own : value, 1);
}

// In the child.
static void make_environment(const struct probe *probe, const char *const *environment)
{
  char url[128];
  char list[160];
  snprintf(url, sizeof(url), "ipc://%s/probe.sock", probe->folder);
  snprintf(list, sizeof(list), "item=%s", url);
  setenv("BULKHEAD_PROBE", "1", 1);
  setenv(PROBE_FOLDER, probe->folder, 1);
  const char *postgres = getenv("BULKHEAD_TEST_PG");
  set_default(environment, "PG_CONNINFO", postgres == NULL ? "" : postgres);
  set_default(environment, "RPC_LISTEN", url);
  set_default(environment, "RPC_STATIC", list);
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
    putenv((char *)(uintptr_t)environment[i]);
}

void probe_start(struct probe *probe, char *const *arguments, const char *const *environment)
{
  *probe = (struct probe){.pid = -1};
  strbuf_init(&probe->output, 0);
  snprintf(probe->folder, sizeof(probe->folder), "/tmp/bulkhead-probe-XXXXXX");
  cr_assert_not_null(mkdtemp(probe->folder));
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  probe->pid = fork();
  cr_assert_neq(probe->pid, -1);
  if (probe->pid == 0) {
    // A test that fails half-way must not leave its probe behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    make_environment(probe, environment);
    char *none[] = {"probe", NULL};
    execv("/proc/self/exe", arguments == NULL ? none : arguments);
    _exit(127);
  }
  close(ends[1]);
  probe->output_fd = ends[0];
}

// False at the end of the output.
static bool read_output(struct probe *probe)
{
  struct pollfd ready = {.fd = probe->output_fd, .events = POLLIN};
  cr_assert_gt(poll(&ready, 1, PATIENCE_MS), 0, "nothing more came after: %s", strbuf_cstring(&probe->output));
  char buffer[4096];
  ssize_t count = read(probe->output_fd, buffer, sizeof(buffer));
  if (count <= 0)
    return false;
  strbuf_add(&probe->output, slice_make(buffer, (size_t)count));
  return true;
}

void probe_wait_output(struct probe *probe, const char *text)
{
  while (strstr(strbuf_cstring(&probe->output), text) == NULL)
    cr_assert(read_output(probe), "it ended without \"%s\": %s", text, strbuf_cstring(&probe->output));
}

void probe_wait_admin(struct probe *probe)
{
  probe_wait_output(probe, "\"admin\":\"");
  // The line comes in one piece, but the pipe may cut it.
  const char *from;
  while (strchr(from = strstr(strbuf_cstring(&probe->output), "\"admin\":\"") + 9, '"') == NULL)
    cr_assert(read_output(probe));
  snprintf(probe->admin, sizeof(probe->admin), "%.*s", (int)strcspn(from, "\""), from);
}

void probe_serve(struct probe *probe, const char *const *environment)
{
  probe_start(probe, NULL, environment);
  probe_wait_admin(probe);
  probe_wait_http(probe, "/readyz", "200 OK");
}

int probe_end(struct probe *probe)
{
  while (read_output(probe))
    continue;
  close(probe->output_fd);
  int result = 0;
  cr_assert_eq(waitpid(probe->pid, &result, 0), probe->pid);
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", probe->folder, PROBE_RELEASE_FILE);
  unlink(path);
  snprintf(path, sizeof(path), "%s/probe.sock", probe->folder);
  unlink(path);
  rmdir(probe->folder);
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

void probe_free(struct probe *probe)
{
  strbuf_free(&probe->output);
}

int probe_stop(struct probe *probe)
{
  kill(probe->pid, SIGTERM);
  return probe_end(probe);
}

void probe_release(const struct probe *probe)
{
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", probe->folder, PROBE_RELEASE_FILE);
  FILE *file = fopen(path, "w");
  cr_assert_not_null(file);
  fclose(file);
}

// HTTP.
// -----------------------------------------------------------------------------------------------------
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

const char *probe_http(const struct probe *probe, const char *request, struct strbuf *answer)
{
  return http_at(probe->admin, request, answer);
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

void probe_wait_http(const struct probe *probe, const char *path, const char *text)
{
  char request[128];
  snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n", path);
  struct strbuf answer;
  strbuf_init(&answer, 0);
  while (strstr(probe_http(probe, request, &answer), text) == NULL)
    poll(NULL, 0, 2);
  strbuf_free(&answer);
}

// RPC.
// -----------------------------------------------------------------------------------------------------
void driver_open(struct driver *driver, const struct probe *probe, const char *as)
{
  arena_init(&driver->arena);
  const struct rpc_client_options options = {.peer_service = as};
  driver->client = rpc_client_create(&options);
  const struct rpc_endpoint endpoint = {
      .id = SLICE("probe"),
      .url = slice_from_string(arena_printf(&driver->arena, "ipc://%s/probe.sock", probe->folder)),
  };
  rpc_client_set_endpoints(driver->client, "probe", &endpoint, 1);
}

void driver_close(struct driver *driver)
{
  rpc_client_free(&driver->client);
  arena_free(&driver->arena);
}

static void turn(struct driver *driver)
{
  uint64_t next_us = rpc_client_next_timeout_us(driver->client);
  uint32_t wait_ms = next_us == DEADLINE_NONE ? PATIENCE_MS : deadline_left_ms(next_us, clock_now_us());
  struct pollfd ready = {.fd = rpc_client_fd(driver->client), .events = POLLIN};
  poll(&ready, 1, (int)(wait_ms > PATIENCE_MS ? PATIENCE_MS : wait_ms));
  // Last, so that the caller sees what has ended before it waits again.
  rpc_client_process(driver->client, clock_now_us());
  rpc_client_flush(driver->client);
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct outcome *outcome = arg;
  struct arena *arena = &outcome->driver->arena;
  outcome->done = true;
  outcome->status = status->code;
  outcome->message = arena_copy(arena, status->message);
  outcome->reason = arena_copy(arena, status->reason);
  outcome->retry_after_ms = status->retry_after_ms;
  outcome->violation_count = status->violation_count;
  if (status->violation_count > 0) {
    outcome->violation_field = arena_copy(arena, status->violations[0].field);
    outcome->violation_description = arena_copy(arena, status->violations[0].description);
  }
  outcome->payload = arena_copy(arena, payload);
}

void driver_begin(struct driver *driver, const char *method, struct slice payload, const struct rpc_context *context,
                  uint64_t timeout_ms, struct outcome *outcome)
{
  *outcome = (struct outcome){.driver = driver};
  const struct rpc_call_options options = {
      .service = "probe",
      .method = slice_from_string(method),
      .payload = payload,
      .deadline_us = deadline_after_ms(clock_now_us(), timeout_ms),
      .context = context,
  };
  outcome->call = rpc_client_call(driver->client, &options, on_done, outcome);
  rpc_client_flush(driver->client);
}

void driver_finish(struct driver *driver, const struct outcome *outcome)
{
  while (!outcome->done)
    turn(driver);
}

void driver_wait_lost(struct driver *driver)
{
  while (rpc_client_ready_endpoints(driver->client, "probe") > 0)
    turn(driver);
}

struct slice driver_pack(struct driver *driver, const ProtobufCMessage *message)
{
  return proto_pack_arena(message, &driver->arena);
}

struct outcome driver_call(struct driver *driver, const char *method, const ProtobufCMessage *request,
                           const struct rpc_context *context)
{
  struct outcome outcome;
  driver_begin(driver, method, driver_pack(driver, request), context, 10000, &outcome);
  driver_finish(driver, &outcome);
  return outcome;
}

ProtobufCMessage *driver_reply(const struct outcome *outcome, const ProtobufCMessageDescriptor *descriptor)
{
  cr_assert_eq(outcome->status, STATUS_OK, "%s: " SLICE_FMT, status_name(outcome->status), SLICE_ARG(outcome->message));
  ProtobufCMessage *message = proto_unpack(descriptor, outcome->payload, &outcome->driver->arena);
  cr_assert_not_null(message);
  return message;
}
