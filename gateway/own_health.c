// grpc.health.v1.Health of the gateway: whether calls reach the services behind it, by the readiness that /readyz
// shows. "" stands for all of them.
#include "common/base/wire.h"
#include "gateway/own_services_internal.h"
#include "gateway/public_contracts.h"

// The numbers of fields and values in grpc/health/v1/health.proto.
enum { REQUEST_SERVICE = 1, RESPONSE_STATUS = 1, LIST_STATUSES = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

// Whether calls of a service reach it. The gateway's own services are where it is.
static bool is_reached(const struct own_services *own, const struct contract_service *service)
{
  return own_services_offer(service->methods[0].full_name) || own_services_are_ready(own, service->service);
}

static int find_status(const struct own_services *own, struct slice name)
{
  const struct contract *contract = own_services_contract(own);
  if (name.size == 0)
    return own_services_are_ready(own, NULL) ? SERVING : NOT_SERVING;
  for (size_t i = 0; i < contract_service_count(contract); i++) {
    const struct contract_service *service = contract_service(contract, i);
    if (public_contracts_have(service) && slice_equal_string(name, service->full_name))
      return is_reached(own, service) ? SERVING : NOT_SERVING;
  }
  return SERVICE_UNKNOWN;
}

// Returns the name of the service that a request asks for. The request has passed the wire filter.
static struct slice read_name(const struct own_call *call)
{
  struct wire_reader reader = wire_reader_make(strbuf_slice(&call->request));
  struct wire_field field;
  struct slice name = {0};
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == REQUEST_SERVICE && field.type == WIRE_BYTES)
      name = field.bytes;
  return name;
}

static const struct rpc_status GOOD = {.code = STATUS_OK};

static void check(struct own_call *call)
{
  int status = find_status(call->own, read_name(call));
  if (status == SERVICE_UNKNOWN) {
    const struct rpc_status unknown = {.code = STATUS_NOT_FOUND,
                                       .reason = SLICE("SERVICE_UNKNOWN"),
                                       .message = SLICE("there is no service of this name here; List names all")};
    own_call_end(call, &unknown, (struct slice){0});
    return;
  }
  const char response[] = {RESPONSE_STATUS << 3, (char)status};
  own_call_end(call, &GOOD, slice_make(response, sizeof(response)));
}

static void write_entry(struct strbuf *out, struct slice name, int status)
{
  size_t entry = wire_begin_nested(out, LIST_STATUSES);
  wire_write_bytes(out, ENTRY_KEY, name);
  size_t value = wire_begin_nested(out, ENTRY_VALUE);
  wire_write_varint(out, RESPONSE_STATUS, (uint64_t)status);
  wire_end_nested(out, value);
  wire_end_nested(out, entry);
}

static void list(struct own_call *call)
{
  const struct contract *contract = own_services_contract(call->own);
  struct strbuf response;
  strbuf_init(&response, 0);
  write_entry(&response, SLICE(""), find_status(call->own, SLICE("")));
  for (size_t i = 0; i < contract_service_count(contract); i++) {
    const struct contract_service *service = contract_service(contract, i);
    struct slice name = slice_from_string(service->full_name);
    if (public_contracts_have(service))
      write_entry(&response, name, find_status(call->own, name));
  }
  own_call_end(call, &GOOD, strbuf_slice(&response));
  strbuf_free(&response);
}

// Sends the status at once, and after each change. A client that has not taken one gets the next only afterwards, and
// those between never.
static void watch(struct own_call *call)
{
  int status = find_status(call->own, read_name(call));
  if (status == call->told || call->untaken > 0)
    return;
  call->told = status;
  const char response[] = {RESPONSE_STATUS << 3, (char)status};
  own_call_send(call, slice_make(response, sizeof(response)));
}

const struct own_kind own_health_check = {.method = "grpc.health.v1.Health/Check", .go_on = check};
const struct own_kind own_health_list = {.method = "grpc.health.v1.Health/List", .go_on = list};
const struct own_kind own_health_watch = {.method = "grpc.health.v1.Health/Watch", .go_on = watch};
