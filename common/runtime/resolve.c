// Look-ups on libuv's uv_getaddrinfo, which libuv counts among its slow work. A cancelled look-up is freed when libuv
// returns it, like any other, but `done` is not called.
#include "common/runtime/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/runtime/loop_internal.h"

// The longest host name as text: RFC 1035, section 2.3.4.
enum { HOST_NAME_MAX_BYTES = 253 };

struct loop_resolve {
  uv_getaddrinfo_t request;
  struct loop *loop;
  void (*done)(void *arg, const struct address_list *found, const char *reason);  // NULL: cancelled
  void *arg;
  char host[HOST_NAME_MAX_BYTES + 1];
};

bool host_is_name(const char *host)
{
  struct in_addr numeric;
  // Every IPv6 address holds a colon, and no host name does.
  return host[0] != '\0' && host[0] != '/' && host[0] != '@' && strchr(host, ':') == NULL &&
         inet_pton(AF_INET, host, &numeric) != 1;
}

static void take_addresses(const struct addrinfo *from, struct address_list *found)
{
  found->count = 0;
  for (; from != NULL && found->count < ADDRESS_LIST_MAX; from = from->ai_next)
    // A numeric address needs no look-up.
    if (getnameinfo(from->ai_addr, from->ai_addrlen, found->texts[found->count], ADDRESS_TEXT_BYTES, NULL, 0,
                    NI_NUMERICHOST) == 0)
      found->count++;
}

static void report_result(struct loop_resolve *resolve, int result, const struct addrinfo *from)
{
  struct address_list found;
  char reason[HOST_NAME_MAX_BYTES + 128];
  take_addresses(from, &found);
  snprintf(reason, sizeof(reason), "cannot resolve the host name \"%s\": %s", resolve->host,
           result < 0 ? uv_strerror(result) : "it has no address");
  resolve->done(resolve->arg, &found, found.count == 0 ? reason : NULL);
}

static void finish_lookup(uv_getaddrinfo_t *request, int result, struct addrinfo *from)
{
  struct loop_resolve *resolve = CONTAINER_OF(request, struct loop_resolve, request);
  if (resolve->done != NULL) {
    resolve->loop->resolve_count--;
    report_result(resolve, result, from);
  }
  uv_freeaddrinfo(from);
  free(resolve);
}

struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host,
                                        void (*done)(void *arg, const struct address_list *found, const char *reason),
                                        void *arg)
{
  // Asks for one answer per address, not one for each kind of socket.
  static const struct addrinfo HINTS = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  if (strlen(host) > HOST_NAME_MAX_BYTES)
    return NULL;
  struct loop_resolve *resolve = calloc(1, sizeof(*resolve));
  CHECK(resolve != NULL);
  resolve->loop = loop;
  resolve->done = done;
  resolve->arg = arg;
  memcpy(resolve->host, host, strlen(host));
  int result = uv_getaddrinfo(&loop->uv, &resolve->request, finish_lookup, host, NULL, &HINTS);
  CHECK(result != UV_ENOMEM);
  if (result != 0) {
    free(resolve);
    return NULL;
  }
  loop->resolve_count++;
  return resolve;
}

void loop_resolve_cancel(struct loop_resolve **resolve)
{
  struct loop_resolve *ended = *resolve;
  if (ended == NULL)
    return;
  *resolve = NULL;
  ended->done = NULL;
  ended->loop->resolve_count--;
  // uv_cancel works only while no thread has taken the look-up; `finish_lookup` is called in either case.
  (void)uv_cancel((uv_req_t *)&ended->request);
}
