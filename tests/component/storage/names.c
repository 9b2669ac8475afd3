#include "tests/component/storage/names.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/compiler.h"

// ---- names ----

static atomic_bool present;
static atomic_bool released;
static atomic_size_t looked_up;
static atomic_size_t looked_up_in_place;

void names_appear(void)
{
  present = true;
}

void names_release(void)
{
  released = true;
}

size_t names_looked_up(void)
{
  return looked_up;
}

size_t names_looked_up_in_place(void)
{
  return looked_up_in_place;
}

static int libc(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  void *address = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&real, &address, sizeof(real));
  return real(node, service, hints, found);
}

static int two(const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
  int failed = libc("127.0.0.2", service, hints, found);
  return failed != 0 ? failed : libc("127.0.0.1", service, hints, &(*found)->ai_next);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
  size_t size = name == NULL ? 0 : strlen(name);
  if (size < 5 || strcmp(name + size - 5, ".test") != 0)
    return libc(name, service, req, pai);
  looked_up++;
  looked_up_in_place += getpid() == gettid();
  if (strcmp(name, "two.test") == 0)
    return two(service, req, pai);
  while (strcmp(name, "silent.test") == 0 && !released)
    poll(NULL, 0, 1);
  if (strcmp(name, "absent.test") == 0 && !present)
    return EAI_NONAME;
  return libc("127.0.0.1", service, req, pai);
}

// ---- fronts ----

enum { MAX_PAIRS = 16 };

// File descriptors for poll: the listener, an unused place, then two ends of each pair. The other end of place i is i ^
// 1.
struct ends {
  struct pollfd fds[2 + 2 * MAX_PAIRS];
  size_t count;
};

static struct ends ends;
static atomic_int *signals_handled;

// Has the kernel drop all packets for the sockets of TCP, or none.
static void filter_packets(int number)
{
  static struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
  static const struct sock_fprog program = {.len = 1, .filter = &drop};
  int option = number == SIGUSR1 ? SO_ATTACH_FILTER : SO_DETACH_FILTER;
  for (size_t i = 0; i < ends.count; i++)
    (void)setsockopt(ends.fds[i].fd, SOL_SOCKET, option, &program, sizeof(program));
  atomic_fetch_add(signals_handled, 1);
}

static void add_pair(const char *socket_path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
  int outer = accept(ends.fds[0].fd, NULL, NULL);
  int inner = socket(AF_UNIX, SOCK_STREAM, 0);
  if (ends.count == ARRAY_LEN(ends.fds))
    _exit(1);
  if (connect(inner, (struct sockaddr *)&address, sizeof(address)) != 0) {
    close(outer);
    close(inner);
    return;
  }
  ends.fds[ends.count++] = (struct pollfd){.fd = outer, .events = POLLIN};
  ends.fds[ends.count++] = (struct pollfd){.fd = inner, .events = POLLIN};
}

// Copies the bytes that have arrived. False at the end of the connection.
static bool forward(int from, int to)
{
  char bytes[16384];
  ssize_t size = read(from, bytes, sizeof(bytes));
  for (ssize_t done = 0, written; done < size; done += written)
    if ((written = write(to, bytes + done, (size_t)(size - done))) <= 0)
      return false;
  return size > 0;
}

static void remove_pair(size_t place)
{
  close(ends.fds[place].fd);
  close(ends.fds[place + 1].fd);
  ends.count -= 2;
  memmove(&ends.fds[place], &ends.fds[ends.count], 2 * sizeof(ends.fds[0]));
}

_Noreturn static void serve(int listener, const char *socket_path, const sigset_t *mask)
{
  ends = (struct ends){.fds = {{.fd = listener, .events = POLLIN}, {.fd = -1}}, .count = 2};
  signal(SIGPIPE, SIG_IGN);
  signal(SIGUSR1, filter_packets);
  signal(SIGUSR2, filter_packets);
  sigprocmask(SIG_SETMASK, mask, NULL);
  for (;;) {
    if (poll(ends.fds, ends.count, -1) <= 0)
      continue;  // a signal came
    for (size_t i = 2; i < ends.count; i++) {
      if (ends.fds[i].revents == 0 || forward(ends.fds[i].fd, ends.fds[i ^ 1].fd))
        continue;
      remove_pair(i & ~(size_t)1);
      break;  // the places have changed: poll again
    }
    if (ends.fds[0].revents != 0)
      add_pair(socket_path);
  }
}

void front_open(struct front *front, const char *socket_path)
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, MAX_PAIRS) == 0);
  cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
  front->port = ntohs(address.sin_port);
  front->signals = mmap(NULL, sizeof(*front->signals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(front->signals, MAP_FAILED);
  // A signal that comes before the process handles it waits.
  sigset_t own;
  sigset_t before;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR1);
  sigaddset(&own, SIGUSR2);
  sigprocmask(SIG_BLOCK, &own, &before);
  front->pid = fork();
  cr_assert_geq(front->pid, 0);
  if (front->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signals_handled = front->signals;
    serve(listener, socket_path, &before);
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  close(listener);
}

void front_close(struct front *front)
{
  kill(front->pid, SIGKILL);
  waitpid(front->pid, NULL, 0);
  munmap(front->signals, sizeof(*front->signals));
}

static void send_signal(const struct front *front, int number)
{
  int before = atomic_load(front->signals);
  cr_assert_eq(kill(front->pid, number), 0);
  while (atomic_load(front->signals) == before)
    poll(NULL, 0, 1);
}

// Tells whether the front has sent something that the kernel of its clients has not confirmed. A line of /proc/net/tcp
// has a number, both addresses and ports, the state, and the bytes in both queues, all of base 16.
static bool has_unconfirmed(const struct front *front)
{
  char line[256];
  bool found = false;
  FILE *table = fopen("/proc/net/tcp", "r");
  cr_assert_not_null(table);
  while (fgets(line, sizeof(line), table) != NULL) {
    unsigned long numbers[6] = {0};
    char *at = strstr(line, ": ");
    for (size_t i = 0; at != NULL && i < 6; i++)
      numbers[i] = strtoul(at + 1, &at, 16);
    found = found || (numbers[1] == front->port && numbers[4] == 1 && numbers[5] > 0);
  }
  fclose(table);
  return found;
}

void front_vanish(const struct front *front)
{
  // What is unconfirmed would be sent again, and heard by who takes the host for gone.
  for (int tries = 0; tries < 1000 && has_unconfirmed(front); tries++)
    poll(NULL, 0, 1);
  send_signal(front, SIGUSR1);
}

void front_return(const struct front *front)
{
  send_signal(front, SIGUSR2);
}
