// The admin port on libmicrohttpd in external mode: the loop watches the fd of its epoll and calls MHD_run. Pages are
// rendered in memory at each request; slow and idle readers are bounded in number and in time.
#include "common/service/admin_internal.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/observe/metrics.h"
#include "common/service/host_port_internal.h"
#include "common/service/task_list_internal.h"

enum {
  MAX_CONNECTIONS = 64,
  CONNECTION_TIMEOUT_S = 10,
  CONNECTION_MEMORY_BYTES = 8192,
  LISTEN_BACKLOG = 64,
};

struct admin {
  struct loop *loop;
  struct admin_options options;
  struct MHD_Daemon *daemon;
  struct loop_watch *watch;
  struct loop_timer *timer;
  int port;
};

// ---- the listening socket ----

static int port_of(int fd)
{
  union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } address = {0};
  socklen_t size = sizeof(address);
  CHECK(getsockname(fd, &address.any, &size) == 0);
  return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

static int open_at(const struct addrinfo *address)
{
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int on = 1;
  // SO_REUSEADDR lets a restarted service listen on its port at once.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
    return fd;
  int failure = errno;
  close(fd);
  errno = failure;
  return -1;
}

enum status admin_parse_address(const char *listen_address, struct host_port *out, struct error *error)
{
  if (host_port_parse(slice_from_string(listen_address), out) && out->has_port)
    return STATUS_OK;
  return error_set(error, STATUS_INVALID_ARGUMENT, "ADMIN_LISTEN: \"%s\" must be host:port, such as 127.0.0.1:0",
                   listen_address);
}

static enum status open_socket(const char *listen_address, int *fd, struct error *error)
{
  struct host_port where;
  enum status status = admin_parse_address(listen_address, &where, error);
  if (status != STATUS_OK)
    return status;
  char host[256];
  char port[8];
  snprintf(host, sizeof(host), SLICE_FMT, SLICE_ARG(where.host));
  snprintf(port, sizeof(port), "%d", where.port);
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
  struct addrinfo *found = NULL;
  int code = getaddrinfo(host_is_wildcard(where.host) && where.host.size < 2 ? NULL : host, port, &hints, &found);
  if (code != 0)
    return error_set(error, STATUS_INVALID_ARGUMENT, "ADMIN_LISTEN: \"%s\": %s", listen_address, gai_strerror(code));
  *fd = open_at(found);
  freeaddrinfo(found);
  if (*fd < 0)
    return error_set(error, STATUS_UNAVAILABLE, "ADMIN_LISTEN: cannot listen at %s: %s", listen_address,
                     strerror(errno));
  return STATUS_OK;
}

// ---- the pages ----

struct page {
  unsigned code;
  const char *content_type;
  struct strbuf body;
};

static void render_health(struct admin *admin, struct page *page)
{
  (void)admin;
  page->content_type = "application/json";
  strbuf_add_string(&page->body, "{\"status\":\"ok\"}");
}

static void render_ready(struct admin *admin, struct page *page)
{
  page->content_type = "application/json";
  if (!admin->options.render_ready(admin->options.arg, &page->body))
    page->code = MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void render_metrics(struct admin *admin, struct page *page)
{
  (void)admin;
  page->content_type = "text/plain; version=0.0.4; charset=utf-8";
  metrics_render(&page->body);
}

static void render_tasks(struct admin *admin, struct page *page)
{
  page->content_type = "application/json";
  task_list_render(admin->loop, &page->body);
}

static const struct {
  const char *path;
  void (*render)(struct admin *admin, struct page *page);
} pages[] = {
    {"/healthz", render_health},
    {"/readyz", render_ready},
    {"/metrics", render_metrics},
    {"/debug/tasks", render_tasks},
};

static bool is_served(const char *method)
{
  return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static void render(struct admin *admin, const char *path, const char *method, struct page *page)
{
  page->content_type = "text/plain";
  if (!is_served(method)) {
    page->code = MHD_HTTP_METHOD_NOT_ALLOWED;
    strbuf_add_string(&page->body, "only GET and HEAD are served here\n");
    return;
  }
  for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
    if (strcmp(path, pages[i].path) == 0) {
      page->code = MHD_HTTP_OK;
      pages[i].render(admin, page);
      return;
    }
  }
  page->code = MHD_HTTP_NOT_FOUND;
  strbuf_add_string(&page->body, "here are /healthz, /readyz, /metrics and /debug/tasks\n");
}

// NOLINTNEXTLINE(readability-function-size): the parameters are libmicrohttpd's
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state)
{
  (void)version, (void)upload;
  static int seen;
  // The first call for a request comes before its body. Refusals are answered there, which closes the connection; pages
  // are answered at the second call. A request with a body closes the connection, too.
  if (*state == NULL && is_served(method)) {
    *state = &seen;
    return MHD_YES;
  }
  if (*upload_size > 0)
    return MHD_NO;
  struct page page = {0};
  strbuf_init(&page.body, 0);
  render(arg, path, method, &page);
  struct MHD_Response *response =
      MHD_create_response_from_buffer(page.body.size, page.body.data, MHD_RESPMEM_MUST_COPY);
  strbuf_free(&page.body);
  if (response == NULL)
    return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page.content_type);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  if (page.code == MHD_HTTP_METHOD_NOT_ALLOWED)
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  enum MHD_Result result = MHD_queue_response(connection, page.code, response);
  MHD_destroy_response(response);
  return result;
}

// ---- the loop ----

static void run(struct admin *admin)
{
  MHD_run(admin->daemon);
  MHD_UNSIGNED_LONG_LONG wait_ms;
  if (MHD_get_timeout(admin->daemon, &wait_ms) == MHD_YES)
    loop_timer_start(admin->timer, wait_ms);
  else
    loop_timer_stop(admin->timer);
}

static void on_ready(void *arg, int events)
{
  (void)events;
  run(arg);
}

static void on_timeout(void *arg)
{
  run(arg);
}

static void discard_log(void *arg, const char *format, va_list args)
{
  (void)arg, (void)format, (void)args;
}

static struct MHD_Daemon *start_daemon(struct admin *admin, int fd)
{
  // The logger reports mistakes of clients, which are not worth a line in our log.
  return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, admin,
                          MHD_OPTION_EXTERNAL_LOGGER, discard_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                          MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                          (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                          (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
}

enum status admin_create(struct loop *loop, const struct admin_options *options, struct admin **out,
                         struct error *error)
{
  int fd = -1;
  enum status status = open_socket(options->listen, &fd, error);
  if (status != STATUS_OK)
    return status;
  struct admin *admin = calloc(1, sizeof(*admin));
  CHECK(admin != NULL);
  admin->loop = loop;
  admin->options = *options;
  admin->options.listen = NULL;
  admin->port = port_of(fd);
  admin->daemon = start_daemon(admin, fd);
  if (admin->daemon == NULL) {
    close(fd);
    free(admin);
    return error_set(error, STATUS_INTERNAL, "ADMIN_LISTEN: libmicrohttpd did not start");
  }
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  CHECK(info != NULL);
  admin->timer = loop_timer_create(loop, on_timeout, admin);
  admin->watch = loop_watch_fd(loop, info->epoll_fd, LOOP_READABLE, on_ready, admin);
  *out = admin;
  return STATUS_OK;
}

void admin_free(struct admin **admin_pointer)
{
  struct admin *admin = *admin_pointer;
  if (admin == NULL)
    return;
  *admin_pointer = NULL;
  loop_watch_end(&admin->watch);
  loop_timer_free(&admin->timer);
  // MHD_stop_daemon also closes the listening socket.
  MHD_stop_daemon(admin->daemon);
  free(admin);
}

int admin_port(const struct admin *admin)
{
  return admin->port;
}
