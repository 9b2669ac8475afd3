#include "gateway/own_services_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"

// How often calls are looked after that wait for something else than the client.
#define LOOK_EVERY_US 200000

static const struct own_kind *const KINDS[] = {&own_health_check, &own_health_list, &own_health_watch, &own_reflection,
                                               &own_reflection_alpha};

struct own_services {
  struct own_services_options options;
  struct contract_method methods[ARRAY_LEN(KINDS)];  // without a name: the contracts do not have it
  struct list due;
  struct list idle;
  uint64_t next_look_us;
};

// ---- methods ----

bool own_services_offer(struct slice full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
    if (slice_equal_string(full_name, KINDS[i]->method))
      return true;
  return false;
}

// Takes a method over from the contracts, where it is for services only.
static void take_method(struct own_services *own, size_t kind)
{
  const char *name = KINDS[kind]->contract == NULL ? KINDS[kind]->method : KINDS[kind]->contract;
  const struct contract_method *method = contract_method_by_name(own->options.api->contract, slice_from_string(name));
  if (method == NULL)
    return;
  own->methods[kind] = *method;
  own->methods[kind].full_name = slice_from_string(KINDS[kind]->method);
  own->methods[kind].policy = (struct policy){.access = ACCESS_PUBLIC};
  own->methods[kind].rate_class = CONTRACT_RATE_READ;
}

struct own_services *own_services_create(const struct own_services_options *options)
{
  struct own_services *own = calloc(1, sizeof(*own));
  CHECK(own != NULL);
  own->options = *options;
  list_init(&own->due);
  list_init(&own->idle);
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
    take_method(own, i);
  return own;
}

void own_services_free(struct own_services **own)
{
  struct own_services *gone = *own;
  *own = NULL;
  if (gone == NULL)
    return;
  CHECK(list_empty(&gone->due) && list_empty(&gone->idle));
  free(gone);
}

const struct contract_method *own_services_find(const struct own_services *own, struct slice full_name)
{
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
    if (own->methods[i].name != NULL && slice_equal(own->methods[i].full_name, full_name))
      return &own->methods[i];
  return NULL;
}

bool own_services_have(const struct own_services *own, const struct contract_method *method)
{
  return method >= own->methods && method < own->methods + ARRAY_LEN(own->methods);
}

bool own_services_are_ready(const struct own_services *own, const char *service)
{
  return own->options.is_ready == NULL || own->options.is_ready(own->options.arg, service);
}

const struct api *own_services_api(const struct own_services *own)
{
  return own->options.api;
}

const struct contract *own_services_contract(const struct own_services *own)
{
  return own->options.api->contract;
}

// ---- calls ----

static struct rpc_call *to_handle(struct own_call *call)
{
  return (struct rpc_call *)(void *)call;
}

static struct own_call *from_handle(struct rpc_call *handle)
{
  return (struct own_call *)(void *)handle;
}

static void move_to(struct own_call *call, struct list *list)
{
  list_remove(&call->node);
  list_append(list, &call->node);
}

static void free_call(struct own_call *call)
{
  list_remove(&call->node);
  strbuf_free(&call->request);
  free(call->files_sent);
  free(call);
}

void own_call_send(struct own_call *call, struct slice message)
{
  call->untaken++;
  call->events->on_message(call->arg, message);
}

void own_call_end(struct own_call *call, const struct rpc_status *status, struct slice response)
{
  rpc_done_fn *done = call->done;
  void *arg = call->arg;
  free_call(call);
  done(arg, status, response);
}

static struct rpc_call *start_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done, void *done_arg)
{
  struct own_services *own = arg;
  struct own_call *call = calloc(1, sizeof(*call));
  CHECK(call != NULL);
  *call = (struct own_call){
      .own = own, .done = done, .arg = done_arg, .events = options->stream, .deadline_us = options->deadline_us};
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
    if (slice_equal(own->methods[i].full_name, options->method))
      call->kind = KINDS[i];
  CHECK(call->kind != NULL);
  strbuf_init(&call->request, 0);
  strbuf_add(&call->request, options->payload);
  list_append(&own->due, &call->node);
  return to_handle(call);
}

static bool cancel_call(void *arg, struct rpc_call *handle)
{
  (void)arg;
  free_call(from_handle(handle));
  return true;
}

static void take_messages(void *arg, struct rpc_call *handle, size_t count, size_t size)
{
  (void)size;
  struct own_services *own = arg;
  struct own_call *call = from_handle(handle);
  call->untaken -= count;
  move_to(call, &own->due);
}

// One message of a client waits at a time, and only while he takes the answers.
static bool may_write(void *arg, struct rpc_call *handle)
{
  (void)arg;
  struct own_call *call = from_handle(handle);
  call->was_refused = call->has_request || call->untaken > 0;
  return !call->was_refused;
}

static bool write_message(void *arg, struct rpc_call *handle, struct slice message)
{
  struct own_services *own = arg;
  struct own_call *call = from_handle(handle);
  strbuf_clear(&call->request);
  strbuf_add(&call->request, message);
  call->has_request = true;
  move_to(call, &own->due);
  return true;
}

static void half_close(void *arg, struct rpc_call *handle)
{
  struct own_services *own = arg;
  struct own_call *call = from_handle(handle);
  call->is_closed = true;
  move_to(call, &own->due);
}

struct backend own_services_backend(struct own_services *own)
{
  return (struct backend){.arg = own,
                          .call = start_call,
                          .cancel = cancel_call,
                          .take = take_messages,
                          .may_write = may_write,
                          .write = write_message,
                          .half_close = half_close};
}

// ---- going on ----

static void go_on(struct own_call *call, uint64_t now_us)
{
  const struct rpc_status late = {.code = STATUS_DEADLINE_EXCEEDED, .message = SLICE("the time of the call is over")};
  move_to(call, &call->own->idle);
  if (call->deadline_us <= now_us)
    own_call_end(call, &late, (struct slice){0});
  else
    call->kind->go_on(call);
}

void own_services_process(struct own_services *own, uint64_t now_us)
{
  if (now_us >= own->next_look_us) {
    own->next_look_us = now_us + LOOK_EVERY_US;
    while (!list_empty(&own->idle))
      move_to(CONTAINER_OF(own->idle.next, struct own_call, node), &own->due);
  }
  // A call that goes on may end others, and make others due.
  while (!list_empty(&own->due))
    go_on(CONTAINER_OF(own->due.next, struct own_call, node), now_us);
}

uint64_t own_services_next_timeout_us(const struct own_services *own)
{
  if (!list_empty(&own->due))
    return 0;
  return list_empty(&own->idle) ? DEADLINE_NONE : own->next_look_us;
}
