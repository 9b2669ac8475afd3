// One connection to Redis: hiredis' asynchronous API on our loop. A hiredis context is dead after any error: it is
// dropped and a new one made. hiredis calls every pending callback (with no reply) while it frees a context, so each
// call ends exactly once.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/redis_internal.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 2000, CONNECT_TIMEOUT_MS = 2000 };

// ---- hiredis' events ----

static void watch_events(struct redis_link *link, int events)
{
  if (link->watch == NULL || link->watched_events == events)
    return;
  link->watched_events = events;
  loop_watch_change(link->watch, events);
}

static void add_read(void *arg)
{
  struct redis_link *link = arg;
  watch_events(link, link->watched_events | LOOP_READABLE);
}

static void del_read(void *arg)
{
  struct redis_link *link = arg;
  watch_events(link, link->watched_events & ~LOOP_READABLE);
}

// Once connected, all commands of a turn leave in one write at its end; only what the socket did not take then waits
// for it to become writable.
static void add_write(void *arg)
{
  struct redis_link *link = arg;
  if (link->state == REDIS_LINK_CONNECTING || link->flushing)
    watch_events(link, link->watched_events | LOOP_WRITABLE);
  else
    link->write_wanted = true;
}

static void del_write(void *arg)
{
  struct redis_link *link = arg;
  link->write_wanted = false;
  watch_events(link, link->watched_events & ~LOOP_WRITABLE);
}

static void unwatch(void *arg)
{
  struct redis_link *link = arg;
  link->write_wanted = false;
  if (link->watch != NULL)
    loop_watch_end(&link->watch);
}

static void write_now(struct redis_link *link)
{
  link->flushing = true;
  redisAsyncHandleWrite(link->context);
  link->flushing = false;
}

void redis_link_flush(struct redis_link *link)
{
  if (!link->write_wanted || link->context == NULL)
    return;
  link->write_wanted = false;
  write_now(link);
}

static void socket_ready(void *arg, int events)
{
  struct redis_link *link = arg;
  if ((events & LOOP_READABLE) != 0 && link->context != NULL)
    redisAsyncHandleRead(link->context);
  if ((events & LOOP_WRITABLE) != 0 && link->context != NULL)
    write_now(link);
}

// A peek tells data and the end of the connection from nothing.
void redis_link_poll(struct redis_link *link)
{
  char byte;
  while (link->state >= REDIS_LINK_GREETING &&
         (recv(link->context->c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR)))
    redisAsyncHandleRead(link->context);
}

// ---- life ----

// The one way down, whoever noticed: forgets the context, which hiredis is freeing or the caller frees.
static void went_down(struct redis_link *link, const char *reason)
{
  if (link->state == REDIS_LINK_DOWN)
    return;
  bool was_up = link->state == REDIS_LINK_UP;
  // Only when the last address of a name has had its turn has the attempt failed.
  bool more = !was_up && link->next_address < link->addresses.count;
  // Once for an outage, not for each attempt.
  LOG_AT(link->failures == 0 && !more ? LOG_WARN : LOG_DEBUG, "redis",
         was_up ? "connection lost" : "cannot connect, will try again", LOG_STRING("link", link->name),
         LOG_STRING("reason", reason == NULL || *reason == '\0' ? "closed by the server" : reason));
  link->state = REDIS_LINK_DOWN;
  link->context = NULL;
  link->timing_calls = false;
  loop_resolve_cancel(&link->resolve);
  unwatch(link);
  if (more) {
    loop_timer_start(link->timer, 0);
    return;
  }
  link->failures = was_up ? 0 : link->failures + 1;
  loop_timer_start(link->timer, backoff_next_ms(&link->backoff_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
  if (was_up)
    link->changed(link, false);
}

void redis_link_drop(struct redis_link *link, const char *reason)
{
  redisAsyncContext *context = link->context;
  went_down(link, reason);
  if (context != NULL)
    redisAsyncFree(context);
}

static void disconnected(const redisAsyncContext *context, int status)
{
  (void)status;
  went_down(context->data, context->errstr);
}

static void rose(struct redis_link *link)
{
  link->state = REDIS_LINK_UP;
  link->failures = 0;
  link->backoff_ms = 0;
  link->addresses.count = 0;
  loop_timer_stop(link->timer);
  log_info("redis", "connected", LOG_STRING("link", link->name));
  link->changed(link, true);
}

// Each reply of the greeting must be good; the last one is PING's.
static void greeted(redisAsyncContext *context, void *reply_pointer, void *last)
{
  struct redis_link *link = context->data;
  const redisReply *reply = reply_pointer;
  if (reply == NULL || link->context != context)
    return;
  if (reply->type == REDIS_REPLY_ERROR)
    redis_link_drop(link, reply->str);
  else if (last != NULL)
    rose(link);
}

static void greet(struct redis_link *link)
{
  const struct redis_address *address = &link->redis->address;
  char database[16];
  snprintf(database, sizeof(database), "%u", address->database);
  const char *auth[3] = {"AUTH", address->user != NULL ? address->user : address->password, address->password};
  const char *select[2] = {"SELECT", database};
  const char *ping[1] = {"PING"};
  if (address->password != NULL)
    redisAsyncCommandArgv(link->context, greeted, NULL, address->user != NULL ? 3 : 2, auth, NULL);
  if (address->database != 0)
    redisAsyncCommandArgv(link->context, greeted, NULL, 2, select, NULL);
  redisAsyncCommandArgv(link->context, greeted, link, 1, ping, NULL);
}

static void connected(const redisAsyncContext *context, int status)
{
  struct redis_link *link = context->data;
  if (status != REDIS_OK) {
    went_down(link, context->errstr);
    return;
  }
  link->state = REDIS_LINK_GREETING;
  watch_events(link, link->watched_events & ~LOOP_WRITABLE);
  greet(link);
}

static void take_context(struct redis_link *link, redisAsyncContext *context)
{
  CHECK(context != NULL);  // out of memory
  if (context->err != 0) {
    went_down(link, context->errstr);
    redisAsyncFree(context);
    return;
  }
  if (link->redis->address.unix_path == NULL)
    redisEnableKeepAlive(&context->c);
  link->context = context;
  context->data = link;
  context->ev.data = link;
  context->ev.addRead = add_read;
  context->ev.delRead = del_read;
  context->ev.addWrite = add_write;
  context->ev.delWrite = del_write;
  context->ev.cleanup = unwatch;
  link->watched_events = 0;
  link->watch = loop_watch_fd(link->redis->loop, context->c.fd, 0, socket_ready, link);
  redisAsyncSetConnectCallback(context, connected);  // asks for the first write event
  redisAsyncSetDisconnectCallback(context, disconnected);
}

static void connect_next_address(struct redis_link *link)
{
  const char *address = link->addresses.texts[link->next_address++];
  take_context(link, redisAsyncConnect(address, link->redis->address.port));
}

static void resolved(void *arg, const struct address_list *found, const char *reason)
{
  struct redis_link *link = arg;
  link->resolve = NULL;
  link->addresses = *found;
  link->next_address = 0;
  if (found->count == 0)
    went_down(link, reason);
  else
    connect_next_address(link);
}

// hiredis would look a name up in place, and hold up the loop.
static void resolve(struct redis_link *link)
{
  link->resolve = loop_resolve_start(link->redis->loop, link->redis->address.host, resolved, link);
  if (link->resolve == NULL)
    went_down(link, "the host of the URL cannot be a host name");
}

// The time is for a look-up and the first address; each further address has as much again.
void redis_link_open(struct redis_link *link)
{
  const struct redis_address *address = &link->redis->address;
  link->state = REDIS_LINK_CONNECTING;
  link->excused = false;
  loop_timer_start(link->timer, CONNECT_TIMEOUT_MS);
  if (address->unix_path != NULL)
    take_context(link, redisAsyncConnectUnix(address->unix_path));
  else if (!host_is_name(address->host))
    take_context(link, redisAsyncConnect(address->host, address->port));
  else if (link->next_address < link->addresses.count)
    connect_next_address(link);
  else
    resolve(link);
}

// ---- calls ----

static void time_oldest(struct redis_link *link)
{
  link->timing_calls = !list_empty(&link->calls);
  if (!link->timing_calls)
    return;
  const struct redis_call *oldest = CONTAINER_OF(link->calls.next, struct redis_call, node);
  uint64_t end_us = deadline_after_ms(oldest->started_us, link->redis->command_timeout_ms);
  loop_timer_start(link->timer, deadline_left_ms(end_us, loop_now_us(link->redis->loop)) + 1);
}

static bool oldest_is_overdue(const struct redis_link *link)
{
  if (list_empty(&link->calls))
    return false;
  const struct redis_call *oldest = CONTAINER_OF(link->calls.next, struct redis_call, node);
  uint64_t end_us = deadline_after_ms(oldest->started_us, link->redis->command_timeout_ms);
  return end_us <= loop_now_us(link->redis->loop);
}

static void timer_fired(void *arg)
{
  struct redis_link *link = arg;
  switch (link->state) {
  case REDIS_LINK_DOWN:
    redis_link_open(link);
    return;
  case REDIS_LINK_CONNECTING:
  case REDIS_LINK_GREETING:
    // Perhaps the server did answer, and it was we who did not listen.
    if (!link->excused && loop_timer_is_late(link->timer)) {
      link->excused = true;
      loop_timer_start(link->timer, CONNECT_TIMEOUT_MS);
      return;
    }
    redis_link_drop(link, link->resolve != NULL ? "resolving the host name took too long"
                                                : "the server did not answer in time");
    return;
  case REDIS_LINK_UP:
    break;
  }
  // It may be we who were late: answers that are here already count.
  if (oldest_is_overdue(link))
    redis_link_poll(link);
  if (link->state != REDIS_LINK_UP)
    return;
  if (oldest_is_overdue(link))
    redis_link_drop(link, "a command took too long");
  else
    time_oldest(link);
}

static enum status error_status(const char *text)
{
  static const char *const AWAY[] = {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM",
                                     "NOAUTH",  "MISCONF",  "BUSY",       "NOREPLICAS"};
  for (size_t i = 0; i < ARRAY_LEN(AWAY); i++)
    if (strncmp(text, AWAY[i], strlen(AWAY[i])) == 0)
      return STATUS_UNAVAILABLE;
  return STATUS_INTERNAL;
}

static void call_ended(redisAsyncContext *context, void *reply_pointer, void *arg)
{
  struct redis_call *call = arg;
  const redisReply *reply = reply_pointer;
  (void)context;
  enum status status = STATUS_OK;
  if (reply == NULL) {
    status = STATUS_UNAVAILABLE;
  } else if (reply->type == REDIS_REPLY_ERROR) {
    status = error_status(reply->str);
    log_warn("redis", "command failed", LOG_STRING("reason", reply->str));
  }
  list_remove(&call->node);
  if (call->done != NULL)
    call->done(call->arg, status, status == STATUS_OK ? reply : NULL);
  free(call);
}

struct redis_call *redis_link_call(struct redis_link *link, const struct slice *words, size_t count,
                                   redis_done_fn *done, void *arg)
{
  enum { FEW_WORDS = 16 };
  if (link->state != REDIS_LINK_UP)
    return NULL;
  struct redis_call *call = malloc(sizeof(*call));
  const char *few[FEW_WORDS];
  size_t few_sizes[FEW_WORDS];
  const char **texts = count <= FEW_WORDS ? few : malloc(count * sizeof(*texts));
  size_t *sizes = count <= FEW_WORDS ? few_sizes : malloc(count * sizeof(*sizes));
  CHECK(call != NULL && texts != NULL && sizes != NULL && count <= INT32_MAX);
  for (size_t i = 0; i < count; i++) {
    texts[i] = words[i].data == NULL ? "" : words[i].data;
    sizes[i] = words[i].size;
  }
  *call = (struct redis_call){.link = link, .done = done, .arg = arg, .started_us = loop_now_us(link->redis->loop)};
  list_append(&link->calls, &call->node);
  int result = redisAsyncCommandArgv(link->context, call_ended, call, (int)count, texts, sizes);
  if (texts != few) {
    free(texts);
    free(sizes);
  }
  if (result != REDIS_OK) {
    list_remove(&call->node);
    free(call);
    return NULL;
  }
  if (!link->timing_calls)
    time_oldest(link);
  return call;
}

void redis_link_init(struct redis_link *link, struct redis *redis, const char *name,
                     void (*changed)(struct redis_link *link, bool up))
{
  *link = (struct redis_link){.redis = redis, .name = name, .changed = changed};
  list_init(&link->calls);
  link->timer = loop_timer_create(redis->loop, timer_fired, link);
}

void redis_link_destroy(struct redis_link *link)
{
  redisAsyncContext *context = link->context;
  bool was_up = link->state == REDIS_LINK_UP;
  link->state = REDIS_LINK_DOWN;  // nothing is tried again
  link->context = NULL;
  loop_resolve_cancel(&link->resolve);
  unwatch(link);
  if (context != NULL)
    redisAsyncFree(context);
  loop_timer_free(&link->timer);
  if (was_up)
    link->changed(link, false);
}
