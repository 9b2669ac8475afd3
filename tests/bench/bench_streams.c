// What a gateway takes for clients that stay: event streams, an import, idle connections. All over plain HTTP/1.1.
// Prints lines of a name and a number for tests/bench/run.
//
//   bench_streams watch STREAMS SECONDS CHANGES ITEM
//     Streams of all changes. ITEM is changed once a second for SECONDS, then CHANGES times without a pause.
//   bench_streams import LINES PREFIX
//     One import. No other item's sku begins with PREFIX.
//   bench_streams idle CONNECTIONS ITEM
//     Connections that have read ITEM once and stay open.
//
// BENCH_URL is the gateway's, BENCH_PIDS its processes, BENCH_TOKENS a file of access tokens. The first is that of the
// owner of ITEM.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"

enum {
  MAX_CLIENTS = 10000,
  MAX_TOKENS = 64,
  MAX_CHANGES = 10000,
  OF_AN_ADDRESS = 500,  // less than CONNECTIONS_PER_ADDRESS
  OPENED_AT_ONCE = 20,
  PATIENCE_MS = 30000,
  WARM_UP = 200,
  MARK_BYTES = 64,
  READ_BYTES = 64 * 1024,
};

// An event stream, and the end of what was read of it, where the text that is looked for may begin.
struct client {
  int fd;
  char kept[MARK_BYTES];
  size_t kept_size;
  bool has_told;
};

static struct client clients[MAX_CLIENTS];
static int epoll_fd;
static char *tokens[MAX_TOKENS];
static size_t token_count;
static const char *host;
static uint16_t port;

NO_RETURN static void stop(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void stop(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

// ---- where it all comes from ----

static const char *need(const char *name)
{
  const char *value = getenv(name);
  if (value == NULL)
    stop("bench_streams: %s is not set", name);
  return value;
}

static size_t number_of(const char *text, size_t max)
{
  char *end = NULL;
  unsigned long long number = strtoull(text, &end, 10);
  if (end == text || *end != '\0' || number == 0 || number > max)
    stop("bench_streams: %s is not a number from 1 to %zu", text, max);
  return number;
}

static void read_tokens(void)
{
  FILE *file = fopen(need("BENCH_TOKENS"), "re");
  char *line = NULL;
  size_t capacity = 0;
  CHECK(file != NULL);
  while (token_count < MAX_TOKENS && getline(&line, &capacity, file) > 0) {
    line[strcspn(line, "\n")] = '\0';
    tokens[token_count++] = strdup(line);
  }
  CHECK(token_count > 0);
  free(line);
  fclose(file);
}

static void set_up(void)
{
  const struct rlimit files = {.rlim_cur = MAX_CLIENTS + 100, .rlim_max = MAX_CLIENTS + 100};
  const char *colon = strrchr(need("BENCH_URL"), ':');
  CHECK(colon != NULL);
  host = strstr(need("BENCH_URL"), "//");
  CHECK(host != NULL);
  host += 2;
  port = (uint16_t)number_of(colon + 1, UINT16_MAX);
  if (setrlimit(RLIMIT_NOFILE, &files) != 0)
    stop("bench_streams: may not open %d files", MAX_CLIENTS + 100);
  read_tokens();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  CHECK(epoll_fd >= 0);
}

// Returns the KiB that a process has alone, with its share of what it has together with others.
static size_t share_of(const char *pid)
{
  char path[64];
  char *line = NULL;
  size_t capacity = 0, kib = 0;
  snprintf(path, sizeof(path), "/proc/%s/smaps_rollup", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL)
    stop("bench_streams: cannot read %s: %s", path, strerror(errno));
  while (getline(&line, &capacity, file) > 0)
    if (strncmp(line, "Pss:", 4) == 0)
      kib = strtoull(line + 4, NULL, 10);
  free(line);
  fclose(file);
  return kib;
}

// The memory of all processes of the gateway in KiB.
static size_t gateway_memory(void)
{
  char *pids = strdup(need("BENCH_PIDS"));
  size_t kib = 0;
  char *rest = pids;
  for (char *pid = strsep(&rest, " "); pid != NULL; pid = strsep(&rest, " "))
    if (*pid != '\0')
      kib += share_of(pid);
  free(pids);
  return kib;
}

static void pause_until(uint64_t time_us)
{
  uint64_t now_us = clock_now_us();
  if (time_us <= now_us)
    return;
  struct timespec left = {.tv_sec = (time_t)((time_us - now_us) / 1000000),
                          .tv_nsec = (long)((time_us - now_us) % 1000000) * 1000};
  nanosleep(&left, NULL);
}

// ---- one connection ----

// From an address of 127/8 that others share up to OF_AN_ADDRESS.
static int connect_as(size_t number)
{
  const struct sockaddr_in own = {.sin_family = AF_INET,
                                  .sin_addr.s_addr =
                                      htonl((127u << 24) + (78u << 16) + 1 + (uint32_t)(number / OF_AN_ADDRESS))};
  const struct sockaddr_in gateway = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct timeval patience = {.tv_sec = 600};
  const int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0 ||
      connect(fd, (const struct sockaddr *)&gateway, sizeof(gateway)) != 0)
    stop("connection %zu: %s", number, strerror(errno));
  return fd;
}

static bool send_all(int fd, const char *bytes, size_t size)
{
  for (size_t sent = 0; sent < size;) {
    ssize_t now = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
    if (now <= 0)
      return false;
    sent += (size_t)now;
  }
  return true;
}

// `more`: header lines, and what follows the headers.
static void send_request(int fd, const char *method_and_path, const char *token, const char *more)
{
  char text[8192];
  int size = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s", method_and_path,
                      host, token, more);
  CHECK(size > 0 && (size_t)size < sizeof(text));
  if (!send_all(fd, text, (size_t)size))
    stop("%s: %s", method_and_path, strerror(errno));
}

// Reads a whole response that has a Content-Length into `text`; anything but 200 is the end.
static void read_response(int fd, char text[READ_BYTES])
{
  size_t size = 0, whole = READ_BYTES;
  while (size < whole) {
    ssize_t now = recv(fd, text + size, READ_BYTES - 1 - size, 0);
    if (now <= 0)
      stop("no response: %s", now < 0 ? strerror(errno) : "the connection was closed");
    size += (size_t)now;
    text[size] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    if (body != NULL && (length == NULL || length > body))
      stop("not expected: %s", text);
    if (body != NULL)
      whole = (size_t)(body + 4 - text) + strtoull(length + strlen("\r\nContent-Length: "), NULL, 10);
    CHECK(whole < READ_BYTES || body == NULL);
  }
  if (strncmp(text, "HTTP/1.1 200 ", strlen("HTTP/1.1 200 ")) != 0)
    stop("not expected: %s", text);
}

// ---- event streams ----

static void open_stream(size_t number)
{
  struct client *client = &clients[number];
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = number};
  client->fd = connect_as(number);
  send_request(client->fd, "GET /v1/items:watch", tokens[number % token_count], "Accept: text/event-stream\r\n\r\n");
  CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) == 0);
}

// Reads what a stream tells; true where `mark` is in it for the first time since has_told was cleared.
static bool read_stream(size_t number, const char *mark)
{
  static char text[MARK_BYTES + READ_BYTES];
  struct client *client = &clients[number];
  memcpy(text, client->kept, client->kept_size);
  ssize_t now = recv(client->fd, text + client->kept_size, READ_BYTES, MSG_DONTWAIT);
  if (now < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (now <= 0)
    stop("stream %zu ended; last it told: %.*s", number, (int)client->kept_size, client->kept);
  size_t size = client->kept_size + (size_t)now;
  bool is_first = !client->has_told && memmem(text, size, mark, strlen(mark)) != NULL;
  client->has_told |= is_first;
  client->kept_size = size < MARK_BYTES ? size : MARK_BYTES;
  memcpy(client->kept, text + size - client->kept_size, client->kept_size);
  return is_first;
}

// Reads until the streams from `first` to before `end` have told `mark`.
static void await_streams(size_t first, size_t end, const char *mark)
{
  struct epoll_event events[256];
  for (size_t i = first; i < end; i++)
    clients[i].has_told = false;
  for (size_t left = end - first; left > 0;) {
    int count = epoll_wait(epoll_fd, events, 256, PATIENCE_MS);
    if (count == 0)
      stop("%zu streams do not tell %s", left, mark);
    for (int i = 0; i < count; i++) {
      size_t number = events[i].data.u64;
      left -= read_stream(number, mark) && number >= first && number < end;
    }
  }
}

// Changes the item, and returns how long it took until the last stream had told that.
static uint64_t change(int fd, const char *item, size_t streams)
{
  static size_t changes;
  static char response[READ_BYTES];
  char path[128], body[MARK_BYTES + 2], more[256], mark[MARK_BYTES];
  size_t quantity = 1000000 + changes++;  // as many digits in each
  snprintf(mark, sizeof(mark), "\"quantity\":%zu", quantity);
  snprintf(path, sizeof(path), "PATCH /v1/items/%s", item);
  snprintf(body, sizeof(body), "{%s}", mark);
  snprintf(more, sizeof(more), "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  uint64_t begin_us = clock_now_us();
  send_request(fd, path, tokens[0], more);
  await_streams(0, streams, mark);
  uint64_t spent_us = clock_now_us() - begin_us;
  read_response(fd, response);
  return spent_us;
}

static int compare_times(const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

static void run_watch(size_t streams, size_t seconds, size_t changes, const char *item)
{
  static uint64_t times[MAX_CHANGES];
  size_t most = 0;
  int fd = connect_as(MAX_CLIENTS);
  printf("before_kib %zu\n", gateway_memory());
  for (size_t first = 0; first < streams; first += OPENED_AT_ONCE) {
    size_t end = first + OPENED_AT_ONCE < streams ? first + OPENED_AT_ONCE : streams;
    for (size_t i = first; i < end; i++)
      open_stream(i);
    await_streams(first, end, "\"ITEM_CHANGE_KIND_NONE\"");
  }
  printf("silent_kib %zu\n", gateway_memory());
  uint64_t begin_us = clock_now_us();
  for (size_t i = 0; i < seconds; i++) {
    change(fd, item, streams);
    size_t kib = gateway_memory();
    most = kib > most ? kib : most;
    pause_until(begin_us + (i + 1) * 1000000);
  }
  printf("told_kib %zu\n", most);
  for (size_t i = 0; i < changes; i++)
    times[i] = change(fd, item, streams);
  qsort(times, changes, sizeof(times[0]), compare_times);
  printf("p50_us %" PRIu64 "\np99_us %" PRIu64 "\n", times[(changes - 1) / 2], times[(changes - 1) * 99 / 100]);
}

// ---- an import ----

// A line of about 280 bytes as a chunk of HTTP/1.1.
static size_t write_line(char *out, size_t size, const char *prefix, size_t number)
{
  char line[512];
  int line_size =
      snprintf(line, sizeof(line),
               "{\"sku\":\"%s-%zu\",\"name\":\"Lamp %zu\",\"description\":\"Brass, with a linen shade and a long "
               "cord, made in the year %zu, one of %zu.\",\"category\":\"category-%zu\",\"tags\":[\"tag-%zu\","
               "\"brass\"],\"price\":\"12.50\",\"currency\":\"EUR\",\"quantity\":%zu,\"attributes\":"
               "{\"colour\":\"brass\",\"cm\":%zu}}\n",
               prefix, number, number, 1900 + number % 100, number % 1000, number % 200, number % 300, number % 1000,
               20 + number % 60);
  CHECK(line_size > 0 && (size_t)line_size < sizeof(line));
  int chunk_size = snprintf(out, size, "%x\r\n%s\r\n", (unsigned)line_size, line);
  CHECK(chunk_size > 0 && (size_t)chunk_size < size);
  return (size_t)chunk_size;
}

static void run_import(size_t lines, const char *prefix)
{
  static char block[READ_BYTES], response[READ_BYTES];
  int fd = connect_as(0);
  size_t size = 0;
  uint64_t begin_us = clock_now_us();
  send_request(fd, "POST /v1/items:import", tokens[0],
               "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
  bool is_open = true;
  for (size_t i = 0; i < lines && is_open; i++) {
    size += write_line(block + size, sizeof(block) - size, prefix, i);
    if (size > sizeof(block) - 1024) {
      is_open = send_all(fd, block, size);
      size = 0;
    }
  }
  // Where the gateway has closed the connection, its answer says why.
  if (is_open && send_all(fd, block, size))
    send_all(fd, "0\r\n\r\n", 5);
  read_response(fd, response);
  uint64_t spent_us = clock_now_us() - begin_us;
  char wanted[64];
  snprintf(wanted, sizeof(wanted), "\"created\":\"%zu\"", lines);
  if (strstr(response, wanted) == NULL)
    stop("not all lines were stored: %s", response);
  printf("rate %.0f\n", (double)lines * 1e6 / (double)spent_us);
}

// ---- idle connections ----

static void run_idle(size_t connections, const char *item)
{
  static char response[READ_BYTES];
  char path[128];
  snprintf(path, sizeof(path), "GET /v1/items/%s", item);
  // The first has made the gateway and its connection to the service what they will be.
  for (size_t i = 0; i < WARM_UP; i++) {
    int fd = connect_as(MAX_CLIENTS);
    send_request(fd, path, tokens[0], "\r\n");
    read_response(fd, response);
    close(fd);
  }
  size_t before_kib = gateway_memory();
  for (size_t i = 0; i < connections; i++) {
    clients[i].fd = connect_as(i);
    send_request(clients[i].fd, path, tokens[i % token_count], "\r\n");
    read_response(clients[i].fd, response);
  }
  size_t with_kib = gateway_memory();
  for (size_t i = 0; i < connections; i++)
    if (recv(clients[i].fd, response, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
      stop("connection %zu did not stay open", i);
  printf("each_bytes %.0f\n", ((double)with_kib - (double)before_kib) * 1024 / (double)connections);
}

int main(int argc, char **argv)
{
  if (argc == 6 && strcmp(argv[1], "watch") == 0) {
    set_up();
    run_watch(number_of(argv[2], MAX_CLIENTS), number_of(argv[3], 600), number_of(argv[4], MAX_CHANGES), argv[5]);
  } else if (argc == 4 && strcmp(argv[1], "import") == 0) {
    set_up();
    run_import(number_of(argv[2], 100000000), argv[3]);
  } else if (argc == 4 && strcmp(argv[1], "idle") == 0) {
    set_up();
    run_idle(number_of(argv[2], MAX_CLIENTS), argv[3]);
  } else {
    stop("bench_streams watch STREAMS SECONDS CHANGES ITEM | import LINES PREFIX | idle CONNECTIONS ITEM");
  }
  return 0;
}
