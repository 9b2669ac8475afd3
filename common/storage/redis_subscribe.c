// Subscriptions, and their heartbeat. A connection that only reads cannot tell silence from a peer that vanished. So
// once a second the other connection publishes to a channel of this instance; when nothing comes back, the subscription
// counts as lost.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/storage/redis_internal.h"

enum { HEARTBEAT_MS = 1000, MAX_HEARTBEATS_MISSED = 2 };

static bool is_channel(const redisReply *reply, const char *channel)
{
  return reply->type == REDIS_REPLY_STRING && slice_equal_string(slice_make(reply->str, (size_t)reply->len), channel);
}

static void set_state(struct redis_subscription *subscription, bool subscribed)
{
  if (subscription->subscribed == subscribed)
    return;
  subscription->subscribed = subscribed;
  subscription->state(subscription->arg, subscribed);
}

static void deliver_message(struct redis *redis, const redisReply *channel, const redisReply *payload)
{
  if (is_channel(channel, redis->heartbeat_channel)) {
    redis->heartbeats_missed = 0;
    return;
  }
  struct slice bytes = slice_make(payload->str, (size_t)payload->len);
  for (struct list *node = redis->subscriptions.next, *next = node->next; node != &redis->subscriptions;
       node = next, next = node->next) {
    struct redis_subscription *subscription = CONTAINER_OF(node, struct redis_subscription, node);
    if (is_channel(channel, subscription->channel))
      subscription->message(subscription->arg, bytes);
  }
}

static void confirm_subscription(struct redis *redis, const redisReply *channel)
{
  for (struct list *node = redis->subscriptions.next, *next = node->next; node != &redis->subscriptions;
       node = next, next = node->next) {
    struct redis_subscription *subscription = CONTAINER_OF(node, struct redis_subscription, node);
    if (is_channel(channel, subscription->channel))
      set_state(subscription, true);
  }
}

// Takes {"subscribe", channel, count} or {"message", channel, payload}.
static void handle_push(redisAsyncContext *context, void *reply_pointer, void *arg)
{
  struct redis_link *link = context->data;
  const redisReply *reply = reply_pointer;
  (void)arg;
  if (reply == NULL || link->context != context || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
    return;
  const redisReply *kind = reply->element[0];
  if (is_channel(kind, "message") && reply->element[2]->type == REDIS_REPLY_STRING)
    deliver_message(link->redis, reply->element[1], reply->element[2]);
  else if (is_channel(kind, "subscribe"))
    confirm_subscription(link->redis, reply->element[1]);
}

static void send_subscribe(struct redis_link *link, const char *channel)
{
  const char *words[] = {"SUBSCRIBE", channel};
  redisAsyncCommandArgv(link->context, handle_push, NULL, 2, words, NULL);
}

void redis_handle_subscriber(struct redis_link *link, bool up)
{
  struct redis *redis = link->redis;
  if (up) {
    redis->heartbeats_missed = 0;
    send_subscribe(link, redis->heartbeat_channel);
    loop_timer_start(redis->heartbeat_timer, HEARTBEAT_MS);
  } else {
    loop_timer_stop(redis->heartbeat_timer);
  }
  for (struct list *node = redis->subscriptions.next, *next = node->next; node != &redis->subscriptions;
       node = next, next = node->next) {
    struct redis_subscription *subscription = CONTAINER_OF(node, struct redis_subscription, node);
    if (up)
      send_subscribe(link, subscription->channel);
    else
      set_state(subscription, false);
  }
}

void redis_send_heartbeat(void *arg)
{
  struct redis *redis = arg;
  if (++redis->heartbeats_missed > MAX_HEARTBEATS_MISSED) {
    redis_link_drop(&redis->subscriber, "nothing published comes back");
    return;
  }
  const struct slice words[] = {SLICE("PUBLISH"), slice_from_string(redis->heartbeat_channel), SLICE("")};
  (void)redis_send(redis, words, ARRAY_LEN(words));
  loop_timer_start(redis->heartbeat_timer, HEARTBEAT_MS);
}

void redis_subscribe(struct redis *redis, const char *channel, void (*on_message)(void *arg, struct slice payload),
                     void (*state)(void *arg, bool subscribed), void *arg)
{
  struct redis_subscription *subscription = calloc(1, sizeof(*subscription));
  CHECK(subscription != NULL);
  *subscription = (struct redis_subscription){.message = on_message, .state = state, .arg = arg};
  subscription->channel = memory_copy_string(channel);
  list_append(&redis->subscriptions, &subscription->node);
  if (!redis->configured)
    return;
  struct redis_link *link = &redis->subscriber;
  if (link->state == REDIS_LINK_UP)
    send_subscribe(link, channel);
  else if (redis->heartbeat_channel[0] == '\0') {
    uint64_t number;
    random_bytes(&number, sizeof(number));
    snprintf(redis->heartbeat_channel, sizeof(redis->heartbeat_channel), "bulkhead:heartbeat:%016llx",
             (unsigned long long)number);
    redis_link_open(link);
  }
}

static void free_subscription(struct redis_subscription *subscription)
{
  list_remove(&subscription->node);
  free(subscription->channel);
  free(subscription);
}

void redis_unsubscribe(struct redis *redis, const char *channel, const void *arg)
{
  bool others = false;
  for (struct list *node = redis->subscriptions.next, *next = node->next; node != &redis->subscriptions;
       node = next, next = node->next) {
    struct redis_subscription *subscription = CONTAINER_OF(node, struct redis_subscription, node);
    if (strcmp(subscription->channel, channel) != 0)
      continue;
    if (subscription->arg == arg)
      free_subscription(subscription);
    else
      others = true;
  }
  struct redis_link *link = &redis->subscriber;
  if (others || link->state != REDIS_LINK_UP)
    return;
  const char *words[] = {"UNSUBSCRIBE", channel};
  redisAsyncCommandArgv(link->context, NULL, NULL, 2, words, NULL);
}

void redis_poll_subscriptions(struct redis *redis)
{
  // The turn's input was complete before its tasks began, so a second task of the turn need not look again. Outside
  // tasks something may have arrived since.
  if (task_current() != NULL) {
    if (redis->polled_turn == loop_turn(redis->loop))
      return;
    redis->polled_turn = loop_turn(redis->loop);
  }
  redis_link_poll(&redis->subscriber);
}

void redis_free_subscriptions(struct redis *redis)
{
  while (!list_empty(&redis->subscriptions))
    free_subscription(CONTAINER_OF(redis->subscriptions.next, struct redis_subscription, node));
}
