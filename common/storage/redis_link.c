// One connection to Redis: hiredis' asynchronous API on our loop. A hiredis context is dead after any error, so it is
// dropped and a new one made. hiredis calls every pending callback, with no reply, while it frees a context; so each
// call ends exactly once.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/config/settings.h"
#include "common/observe/log.h"
#include "common/storage/redis_internal.h"

enum { CONNECT_TIMEOUT_MS = 2000 };

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

static void remove_read(void *arg)
{
  struct redis_link *link = arg;
  watch_events(link, link->watched_events & ~LOOP_READABLE);
}

// Watches for room to write only while connecting, and for what the socket did not take. Else the write waits for the
// end of the turn.
static void add_write(void *arg)
{
  struct redis_link *link = arg;
  if (link->state == REDIS_LINK_CONNECTING || link->write_state == REDIS_WRITE_RUNNING)
    watch_events(link, link->watched_events | LOOP_WRITABLE);
  else
    link->write_state = REDIS_WRITE_PENDING;
}

static void remove_write(void *arg)
{
  struct redis_link *link = arg;
  if (link->write_state == REDIS_WRITE_PENDING)
    link->write_state = REDIS_WRITE_IDLE;
  watch_events(link, link->watched_events & ~LOOP_WRITABLE);
}

static void unwatch_link(void *arg)
{
  struct redis_link *link = arg;
  link->write_state = REDIS_WRITE_IDLE;
  if (link->watch != NULL)
    loop_watch_end(&link->watch);
}

static void write_now(struct redis_link *link)
{
  link->write_state = REDIS_WRITE_RUNNING;
  redisAsyncHandleWrite(link->context);
  link->write_state = REDIS_WRITE_IDLE;
}

void redis_link_flush(struct redis_link *link)
{
  if (link->write_state == REDIS_WRITE_PENDING && link->context != NULL)
    write_now(link);
}

static void handle_socket(void *arg, int events)
{
  struct redis_link *link = arg;
  if ((events & LOOP_READABLE) != 0 && link->context != NULL)
    redisAsyncHandleRead(link->context);
  if ((events & LOOP_WRITABLE) != 0 && link->context != NULL)
    write_now(link);
}

// Tells whether a read would find data, or the end of the connection.
static bool has_input(const struct redis_link *link)
{
  char byte;
  return recv(link->context->c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EINTR);
}

static void read_input(struct redis_link *link)
{
  while ((link->state == REDIS_LINK_HANDSHAKE || link->state == REDIS_LINK_UP) && has_input(link))
    redisAsyncHandleRead(link->context);
}

// ---- states ----

// The one place that changes a link's state.
static void enter_state(struct redis_link *link, enum redis_link_state state)
{
  link->state = state;
  link->timing_calls = false;
}

static void log_down(struct redis_link *link, bool was_up, bool has_more_addresses, const char *reason)
{
  enum log_level level = LOG_WARN;
  if (has_more_addresses)
    level = LOG_DEBUG;
  else if (!was_up)
    level = reconnect_count_failure(&link->reconnect);
  LOG_AT(level, "redis", was_up ? "connection lost, will reconnect" : "cannot connect, will try again",
         LOG_STRING("reason", reason == NULL || *reason == '\0' ? "closed by the server" : reason));
}

// Takes the link down, whoever noticed that it is broken. It forgets the context, which hiredis or the caller frees.
static void take_down(struct redis_link *link, const char *reason)
{
  if (link->state == REDIS_LINK_CLOSED || link->state == REDIS_LINK_BACKING_OFF)
    return;
  bool was_up = link->state == REDIS_LINK_UP;
  // An attempt has failed only when the last address of the name has been tried.
  bool has_more_addresses = !was_up && link->next_address < link->addresses.count;
  log_down(link, was_up, has_more_addresses, reason);
  enter_state(link, REDIS_LINK_BACKING_OFF);
  link->context = NULL;
  loop_resolve_cancel(&link->resolve);
  unwatch_link(link);
  if (has_more_addresses)
    loop_timer_start(link->reconnect.timer, 0);
  else
    reconnect_back_off(&link->reconnect);
  if (was_up)
    link->changed(link, false);
}

void redis_link_drop(struct redis_link *link, const char *reason)
{
  redisAsyncContext *context = link->context;
  take_down(link, reason);
  if (context != NULL)
    redisAsyncFree(context);
}

static void handle_disconnected(const redisAsyncContext *context, int status)
{
  (void)status;
  take_down(context->data, context->errstr);
}

static void take_up(struct redis_link *link)
{
  enter_state(link, REDIS_LINK_UP);
  reconnect_succeed(&link->reconnect);
  link->addresses.count = 0;
  log_info("redis", "connected");
  link->changed(link, true);
}

// ---- connecting ----

// Takes a reply of the handshake. An error ends the attempt; `last` marks the reply to PING.
static void handle_handshake(redisAsyncContext *context, void *reply_pointer, void *last)
{
  struct redis_link *link = context->data;
  const redisReply *reply = reply_pointer;
  if (reply == NULL || link->context != context)
    return;
  if (reply->type == REDIS_REPLY_ERROR)
    redis_link_drop(link, reply->str);
  else if (last != NULL)
    take_up(link);
}

// Takes the password that the file of the setting holds now. What was known stays if it cannot be read.
static void read_password(struct redis *redis)
{
  if (redis->password_setting == NULL)
    return;
  struct error error;
  struct strbuf text;
  enum status status = settings_read_again(redis->password_setting, &text, &error);
  if (status == STATUS_OK) {
    if (redis->address.password != NULL)
      explicit_bzero(redis->address.password, strlen(redis->address.password));
    free(redis->address.password);
    redis->address.password = memory_copy_text(strbuf_slice(&text));
  } else if (status != STATUS_NOT_FOUND) {
    log_warn("redis", "cannot read the password again; connecting with the one that was read before",
             LOG_STRING("reason", error.message));
  }
  if (text.data != NULL)
    explicit_bzero(text.data, text.size);
  strbuf_free(&text);
}

static void send_handshake(struct redis_link *link)
{
  read_password(link->redis);
  const struct redis_address *address = &link->redis->address;
  char database[16];
  snprintf(database, sizeof(database), "%u", address->database);
  const char *auth[3] = {"AUTH", address->user != NULL ? address->user : address->password, address->password};
  const char *select[2] = {"SELECT", database};
  const char *ping[1] = {"PING"};
  if (address->password != NULL)
    redisAsyncCommandArgv(link->context, handle_handshake, NULL, address->user != NULL ? 3 : 2, auth, NULL);
  if (address->database != 0)
    redisAsyncCommandArgv(link->context, handle_handshake, NULL, 2, select, NULL);
  redisAsyncCommandArgv(link->context, handle_handshake, link, 1, ping, NULL);
}

static void handle_connected(const redisAsyncContext *context, int status)
{
  struct redis_link *link = context->data;
  if (status != REDIS_OK) {
    take_down(link, context->errstr);
    return;
  }
  enter_state(link, REDIS_LINK_HANDSHAKE);
  watch_events(link, link->watched_events & ~LOOP_WRITABLE);
  send_handshake(link);
}

static void adopt_context(struct redis_link *link, redisAsyncContext *context)
{
  CHECK(context != NULL);  // out of memory
  enter_state(link, REDIS_LINK_CONNECTING);
  if (context->err != 0) {
    take_down(link, context->errstr);
    redisAsyncFree(context);
    return;
  }
  if (link->redis->address.unix_path == NULL)
    redisEnableKeepAlive(&context->c);
  link->context = context;
  context->data = link;
  context->ev.data = link;
  context->ev.addRead = add_read;
  context->ev.delRead = remove_read;
  context->ev.addWrite = add_write;
  context->ev.delWrite = remove_write;
  context->ev.cleanup = unwatch_link;
  link->watched_events = 0;
  link->watch = loop_watch_fd(link->redis->loop, context->c.fd, 0, handle_socket, link);
  redisAsyncSetConnectCallback(context, handle_connected);  // asks for the first write event
  redisAsyncSetDisconnectCallback(context, handle_disconnected);
}

static void connect_to_next_address(struct redis_link *link)
{
  const char *address = link->addresses.texts[link->next_address++];
  adopt_context(link, redisAsyncConnect(address, link->redis->address.port));
}

static void handle_resolved(void *arg, const struct address_list *found, const char *reason)
{
  struct redis_link *link = arg;
  link->resolve = NULL;
  link->addresses = *found;
  link->next_address = 0;
  if (found->count == 0)
    take_down(link, reason);
  else
    connect_to_next_address(link);
}

// Resolves the host's name on another thread, because hiredis would block the loop.
static void start_resolving(struct redis_link *link)
{
  enter_state(link, REDIS_LINK_RESOLVING);
  link->resolve = loop_resolve_start(link->redis->loop, link->redis->address.host, handle_resolved, link);
  if (link->resolve == NULL)
    take_down(link, "the host of the URL cannot be a host name");
}

// The time of an attempt covers resolving and the first address. Each further address has as much time again.
void redis_link_open(struct redis_link *link)
{
  const struct redis_address *address = &link->redis->address;
  reconnect_begin_attempt(&link->reconnect);
  if (address->unix_path != NULL)
    adopt_context(link, redisAsyncConnectUnix(address->unix_path));
  else if (!host_is_name(address->host))
    adopt_context(link, redisAsyncConnect(address->host, address->port));
  else if (link->next_address < link->addresses.count)
    connect_to_next_address(link);
  else
    start_resolving(link);
}

// ---- calls ----

static uint64_t oldest_deadline_us(const struct redis_link *link)
{
  const struct redis_call *oldest = CONTAINER_OF(link->calls.next, struct redis_call, node);
  return deadline_after_ms(oldest->started_us, link->redis->command_timeout_ms);
}

static void time_oldest_call(struct redis_link *link)
{
  link->timing_calls = !list_empty(&link->calls);
  if (link->timing_calls)
    loop_timer_start(link->reconnect.timer,
                     deadline_left_ms(oldest_deadline_us(link), loop_now_us(link->redis->loop)) + 1);
}

static bool is_oldest_overdue(const struct redis_link *link)
{
  return !list_empty(&link->calls) && oldest_deadline_us(link) <= loop_now_us(link->redis->loop);
}

static void check_calls(struct redis_link *link)
{
  // The loop itself may be late, so answers that have arrived already count.
  if (is_oldest_overdue(link))
    read_input(link);
  if (link->state != REDIS_LINK_UP)
    return;
  if (is_oldest_overdue(link))
    redis_link_drop(link, "a command took too long");
  else
    time_oldest_call(link);
}

static void handle_timer(void *arg)
{
  struct redis_link *link = arg;
  switch (link->state) {
  case REDIS_LINK_CLOSED:
    break;
  case REDIS_LINK_BACKING_OFF:
    redis_link_open(link);
    break;
  case REDIS_LINK_RESOLVING:
  case REDIS_LINK_CONNECTING:
  case REDIS_LINK_HANDSHAKE:
    if (!reconnect_extend_attempt(&link->reconnect))
      redis_link_drop(link, link->state == REDIS_LINK_RESOLVING ? "resolving the host name took too long"
                                                                : "the server did not answer in time");
    break;
  case REDIS_LINK_UP:
    check_calls(link);
    break;
  }
}

// Translates an error reply: an error that says that the server cannot serve now is UNAVAILABLE.
static enum status translate_error(const char *text)
{
  static const char *const AWAY[] = {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM",
                                     "NOAUTH",  "MISCONF",  "BUSY",       "NOREPLICAS"};
  for (size_t i = 0; i < ARRAY_LEN(AWAY); i++)
    if (strncmp(text, AWAY[i], strlen(AWAY[i])) == 0)
      return STATUS_UNAVAILABLE;
  return STATUS_INTERNAL;
}

static void handle_reply(redisAsyncContext *context, void *reply_pointer, void *arg)
{
  struct redis_call *call = arg;
  const redisReply *reply = reply_pointer;
  (void)context;
  enum status status = STATUS_OK;
  if (reply == NULL) {
    status = STATUS_UNAVAILABLE;
  } else if (reply->type == REDIS_REPLY_ERROR) {
    status = translate_error(reply->str);
  }
  list_remove(&call->node);
  if (call->done != NULL)
    call->done(call->arg, status, reply);
  else if (status != STATUS_OK)
    redis_log_error(reply);
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
  int result = redisAsyncCommandArgv(link->context, handle_reply, call, (int)count, texts, sizes);
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
    time_oldest_call(link);
  return call;
}

void redis_link_init(struct redis_link *link, struct redis *redis, void (*changed)(struct redis_link *link, bool up))
{
  *link = (struct redis_link){.redis = redis, .changed = changed};
  list_init(&link->calls);
  reconnect_init(&link->reconnect, redis->loop, CONNECT_TIMEOUT_MS, handle_timer, link);
}

void redis_link_destroy(struct redis_link *link)
{
  redisAsyncContext *context = link->context;
  bool was_up = link->state == REDIS_LINK_UP;
  enter_state(link, REDIS_LINK_CLOSED);
  link->context = NULL;
  loop_resolve_cancel(&link->resolve);
  unwatch_link(link);
  if (context != NULL)
    redisAsyncFree(context);
  reconnect_clear(&link->reconnect);
  if (was_up)
    link->changed(link, false);
}
