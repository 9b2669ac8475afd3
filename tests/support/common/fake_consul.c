// Answers one request after the other and closes the connection after each.
#include "tests/support/common/fake_consul.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"

#define MAX_REQUESTS 256

struct fake_consul {
  fake_script *script;
  int listener;
  char url[64];
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  char *requests[MAX_REQUESTS];
  size_t count;
};

// Reads a request whole: head, and body by its Content-Length.
static bool read_request(int fd, char *text, size_t size)
{
  size_t used = 0;
  for (;;) {
    ssize_t got = read(fd, text + used, size - 1 - used);
    if (got <= 0)
      return false;
    used += (size_t)got;
    text[used] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL)
      continue;
    const char *length = strstr(text, "Content-Length: ");
    size_t body = length == NULL || length > end ? 0 : strtoul(length + 16, NULL, 10);
    if (used >= (size_t)(end + 4 - text) + body)
      return true;
  }
}

static bool same_path(const char *a, const char *b)
{
  size_t length = strcspn(a + strcspn(a, "/"), "? ") + strcspn(a, "/");
  return strncmp(a, b, length) == 0 && strchr("? ", b[length]) != NULL;
}

// Returns how many requests of the same method and path came before.
static size_t record_request(struct fake_consul *fake, const char *text)
{
  pthread_mutex_lock(&fake->mutex);
  size_t before = 0;
  for (size_t i = 0; i < fake->count; i++)
    before += same_path(text, fake->requests[i]) ? 1 : 0;
  cr_assert_lt(fake->count, MAX_REQUESTS);
  fake->requests[fake->count++] = strdup(text);
  pthread_cond_broadcast(&fake->changed);
  pthread_mutex_unlock(&fake->mutex);
  return before;
}

static void answer_request(int fd, const struct fake_answer *answer)
{
  char text[4096];
  const char *body = answer->body == NULL ? "" : answer->body;
  size_t left_out = (answer->status & FAKE_CUT_OFF) != 0 ? 1 : 0;
  int size = snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s%s%s\r\n%s",
                      answer->status & ~FAKE_CUT_OFF, strlen(body) + left_out,
                      answer->index == NULL ? "" : "X-Consul-Index: ", answer->index == NULL ? "" : answer->index,
                      answer->index == NULL ? "" : "\r\n", body);
  ssize_t written = write(fd, text, (size_t)size);
  (void)written;
}

static void serve_connection(struct fake_consul *fake, int fd)
{
  char text[8192];
  if (!read_request(fd, text, sizeof(text)))
    return;
  struct fake_answer answer = fake->script(text, record_request(fake, text));
  if (answer.status != 0)
    answer_request(fd, &answer);
}

static void *run_fake(void *arg)
{
  struct fake_consul *fake = arg;
  int fd;
  while ((fd = accept(fake->listener, NULL, NULL)) >= 0) {
    serve_connection(fake, fd);
    close(fd);
  }
  return NULL;
}

struct fake_consul *fake_consul_start(fake_script *script)
{
  struct fake_consul *fake = calloc(1, sizeof(*fake));
  fake->script = script;
  fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  cr_assert_eq(bind(fake->listener, (struct sockaddr *)&address, size), 0);
  cr_assert_eq(listen(fake->listener, 16), 0);
  cr_assert_eq(getsockname(fake->listener, (struct sockaddr *)&address, &size), 0);
  snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
  pthread_mutex_init(&fake->mutex, NULL);
  condition_init(&fake->changed);
  cr_assert(thread_start(&fake->thread, run_fake, fake));
  return fake;
}

const char *fake_consul_url(const struct fake_consul *fake)
{
  return fake->url;
}

static bool first_line_has(const char *request, const char *part)
{
  const char *found = strstr(request, part);
  return found != NULL && found < request + strcspn(request, "\r");
}

// Finds the n-th request with this part in its first line, counted from 1; NULL when there are fewer. The caller holds
// the mutex.
static const char *find_request(const struct fake_consul *fake, const char *part, size_t n)
{
  for (size_t i = 0; i < fake->count; i++)
    if (first_line_has(fake->requests[i], part) && --n == 0)
      return fake->requests[i];
  return NULL;
}

void fake_consul_wait(struct fake_consul *fake, const char *part, size_t count, char line[256])
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  pthread_mutex_lock(&fake->mutex);
  const char *found;
  while ((found = find_request(fake, part, count)) == NULL)
    if (!condition_wait_until(&fake->changed, &fake->mutex, end_us))
      break;
  if (found != NULL && line != NULL)
    snprintf(line, 256, "%.*s", (int)strcspn(found, "\r"), found);
  pthread_mutex_unlock(&fake->mutex);
  cr_assert_not_null(found, "\"%s\" was not requested %zu times within a minute", part, count);
}

bool fake_consul_last(struct fake_consul *fake, const char *part, char text[4096])
{
  pthread_mutex_lock(&fake->mutex);
  const char *last = NULL;
  for (size_t i = 0; i < fake->count; i++)
    if (first_line_has(fake->requests[i], part))
      last = fake->requests[i];
  if (last != NULL)
    snprintf(text, 4096, "%s", last);
  pthread_mutex_unlock(&fake->mutex);
  return last != NULL;
}

void fake_consul_stop(struct fake_consul **fake_pointer)
{
  struct fake_consul *fake = *fake_pointer;
  *fake_pointer = NULL;
  shutdown(fake->listener, SHUT_RDWR);
  pthread_join(fake->thread, NULL);
  close(fake->listener);
  for (size_t i = 0; i < fake->count; i++)
    free(fake->requests[i]);
  pthread_cond_destroy(&fake->changed);
  pthread_mutex_destroy(&fake->mutex);
  free(fake);
}
