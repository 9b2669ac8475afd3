#include "tests/component/discovery/consul_process.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/slice.h"

static int loopback_socket(int port, struct sockaddr_in *address)
{
  *address = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
  return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

// All ports are held at once, so that they differ.
static void find_free_ports(int *ports, size_t count)
{
  int fds[8];
  for (size_t i = 0; i < count; i++) {
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    fds[i] = loopback_socket(0, &address);
    cr_assert_eq(bind(fds[i], (struct sockaddr *)&address, size), 0);
    cr_assert_eq(getsockname(fds[i], (struct sockaddr *)&address, &size), 0);
    ports[i] = ntohs(address.sin_port);
  }
  for (size_t i = 0; i < count; i++)
    close(fds[i]);
}

void consul_process_prepare(struct consul_process *consul)
{
  *consul = (struct consul_process){.folder = "/tmp/bulkhead-consul-XXXXXX"};
  cr_assert_not_null(mkdtemp(consul->folder));
  rmdir(consul->folder);
  find_free_ports(consul->ports, 3);
  snprintf(consul->url, sizeof(consul->url), "http://127.0.0.1:%d", consul->ports[0]);
}

static void become_consul(const struct consul_process *consul)
{
  const char *program = getenv("BULKHEAD_CONSUL");
  char data[96], hcl[256];
  snprintf(data, sizeof(data), "-data-dir=%s", consul->folder);
  snprintf(hcl, sizeof(hcl),
           "ports { http = %d server = %d serf_lan = %d serf_wan = -1 dns = -1 grpc = -1 } "
           "disable_update_check = true performance { raft_multiplier = 1 }",
           consul->ports[0], consul->ports[1], consul->ports[2]);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int null = open("/dev/null", O_RDWR);
  dup2(null, 1);
  dup2(null, 2);
  execlp(program == NULL ? "consul" : program, "consul", "agent", "-server", "-bootstrap-expect=1", "-node=local", data,
         "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=err", "-hcl", hcl, (char *)NULL);
  _exit(127);
}

static bool has_leader(const struct consul_process *consul)
{
  // A write is answered with 200 only when there is a leader.
  return consul_process_request(consul, "PUT", "/v1/kv/ready", "1") == 200;
}

void consul_process_start(struct consul_process *consul)
{
  consul->pid = fork();
  cr_assert_geq(consul->pid, 0);
  if (consul->pid == 0)
    become_consul(consul);
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (!has_leader(consul)) {
    int status;
    cr_assert_eq(waitpid(consul->pid, &status, WNOHANG), 0, "Consul did not start: set BULKHEAD_CONSUL to its program");
    cr_assert_lt(clock_now_us(), end_us, "Consul did not elect a leader within a minute");
    usleep(50000);
  }
}

void consul_process_kill(struct consul_process *consul)
{
  kill(consul->pid, SIGKILL);
  waitpid(consul->pid, NULL, 0);
  char *const arguments[] = {"rm", "-rf", consul->folder, NULL};
  pid_t child = fork();
  if (child == 0) {
    execvp(arguments[0], arguments);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}

long consul_process_request(const struct consul_process *consul, const char *method, const char *path, const char *body)
{
  struct sockaddr_in address;
  int fd = loopback_socket(consul->ports[0], &address);
  char text[2048];
  uint64_t status = 0;
  int size = snprintf(text, sizeof(text),
                      "%s %s HTTP/1.1\r\nHost: consul\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method,
                      path, strlen(body), body);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && write(fd, text, (size_t)size) == size) {
    ssize_t got = read(fd, text, sizeof(text));
    // "HTTP/1.1 200 OK"
    if (got < 12 || !slice_to_uint64(slice_make(text + 9, 3), 100, 599, &status))
      status = 0;
  }
  close(fd);
  return (long)status;
}
