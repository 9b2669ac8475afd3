// Consul's JSON must have the documented shape; unknown keys are ignored.
#include "common/discovery/consul_format_internal.h"

#include <string.h>

#include "common/base/arena.h"
#include "common/base/codec.h"
#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"

#define MAX_DEPTH 16

// One instance of a service. Its texts live in the arena of the reader.
struct instance {
  struct slice id;
  struct slice address;
  struct slice node_address;
  struct slice url;
  struct slice zone;
  struct slice registration;  // names the registration that is in force
  uint64_t port;
  bool is_failing;
};

// Reads the value of `key` into `out` or skips it. False when the value has the wrong type.
typedef bool take_fn(struct jsontext_reader *reader, struct slice key, struct instance *out);

static bool read_members(struct jsontext_reader *reader, take_fn *take, struct instance *out)
{
  for (;;) {
    enum jsontext_token token = jsontext_read(reader);
    if (token == JSONTEXT_OBJECT_END)
      return true;
    if (token != JSONTEXT_KEY || !take(reader, reader->text, out))
      return false;
  }
}

static bool read_object(struct jsontext_reader *reader, take_fn *take, struct instance *out)
{
  enum jsontext_token token = jsontext_read(reader);
  // Go writes an empty map as null.
  if (token == JSONTEXT_NULL)
    return true;
  return token == JSONTEXT_OBJECT_BEGIN && read_members(reader, take, out);
}

static bool read_string(struct jsontext_reader *reader, struct slice *out)
{
  if (jsontext_read(reader) != JSONTEXT_STRING)
    return false;
  *out = reader->text;
  return true;
}

static bool take_meta(struct jsontext_reader *reader, struct slice key, struct instance *out)
{
  if (slice_equal_string(key, "url"))
    return read_string(reader, &out->url);
  if (slice_equal_string(key, "zone"))
    return read_string(reader, &out->zone);
  if (slice_equal_string(key, "registration"))
    return read_string(reader, &out->registration);
  return jsontext_skip_value(reader, NULL);
}

static bool take_node(struct jsontext_reader *reader, struct slice key, struct instance *out)
{
  return slice_equal_string(key, "Address") ? read_string(reader, &out->node_address)
                                            : jsontext_skip_value(reader, NULL);
}

static bool take_service(struct jsontext_reader *reader, struct slice key, struct instance *out)
{
  if (slice_equal_string(key, "ID"))
    return read_string(reader, &out->id);
  if (slice_equal_string(key, "Address"))
    return read_string(reader, &out->address);
  if (slice_equal_string(key, "Meta"))
    return read_object(reader, take_meta, out);
  if (slice_equal_string(key, "Port"))
    return jsontext_read(reader) == JSONTEXT_NUMBER && slice_to_uint64(reader->text, 0, 65535, &out->port);
  return jsontext_skip_value(reader, NULL);
}

static bool take_check(struct jsontext_reader *reader, struct slice key, struct instance *out)
{
  struct slice status;
  if (!slice_equal_string(key, "Status"))
    return jsontext_skip_value(reader, NULL);
  if (!read_string(reader, &status))
    return false;
  out->is_failing = out->is_failing || !slice_equal_string(status, "passing");
  return true;
}

static bool read_checks(struct jsontext_reader *reader, struct instance *out)
{
  enum jsontext_token token = jsontext_read(reader);
  if (token == JSONTEXT_NULL)
    return true;
  if (token != JSONTEXT_ARRAY_BEGIN)
    return false;
  while ((token = jsontext_read(reader)) == JSONTEXT_OBJECT_BEGIN)
    if (!read_members(reader, take_check, out))
      return false;
  return token == JSONTEXT_ARRAY_END;
}

static bool take_entry(struct jsontext_reader *reader, struct slice key, struct instance *out)
{
  if (slice_equal_string(key, "Service"))
    return read_object(reader, take_service, out);
  if (slice_equal_string(key, "Node"))
    return read_object(reader, take_node, out);
  if (slice_equal_string(key, "Checks"))
    return read_checks(reader, out);
  return jsontext_skip_value(reader, NULL);
}

static bool add_instance(struct endpoint_list *list, const struct instance *instance, struct arena *arena)
{
  struct slice url = instance->url;
  if (url.size == 0) {
    struct slice host = instance->address.size == 0 ? instance->node_address : instance->address;
    // An endpoint with a longer host would be refused anyway, and "%.*s" takes an int.
    if (host.size == 0 || host.size > 255 || instance->port == 0)
      return false;
    bool v6 = slice_find(host, ':', 0) != host.size;
    url = slice_from_string(
        arena_printf(arena, v6 ? "tcp://[%.*s]:%u" : "tcp://%.*s:%u", SLICE_ARG(host), (unsigned)instance->port));
  }
  return endpoint_list_add_in_zone(list, instance->id, url, instance->zone);
}

static bool read_entries(struct jsontext_reader *reader, struct arena *arena, struct consul_answer *answer)
{
  if (jsontext_read(reader) != JSONTEXT_ARRAY_BEGIN)
    return false;
  for (;;) {
    enum jsontext_token token = jsontext_read(reader);
    if (token == JSONTEXT_ARRAY_END)
      return jsontext_read(reader) == JSONTEXT_END;
    struct instance instance = {0};
    if (token != JSONTEXT_OBJECT_BEGIN || !read_members(reader, take_entry, &instance))
      return false;
    if (!add_instance(instance.is_failing ? &answer->failing : &answer->passing, &instance, arena))
      answer->skipped++;
  }
}

bool consul_read_health(struct slice json, struct consul_answer *out)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  struct consul_answer answer = {0};
  jsontext_reader_init(&reader, json, MAX_DEPTH, &arena);
  bool valid = read_entries(&reader, &arena, &answer);
  arena_free(&arena);
  if (!valid) {
    consul_answer_free(&answer);
    return false;
  }
  endpoint_list_sort(&answer.passing);
  endpoint_list_sort(&answer.failing);
  *out = answer;
  return true;
}

bool consul_has_other_registration(struct slice json, const char *check_id)
{
  struct arena arena = {0};
  struct jsontext_reader reader;
  struct instance instance = {0};
  jsontext_reader_init(&reader, json, MAX_DEPTH, &arena);
  bool is_other = read_object(&reader, take_service, &instance) && instance.registration.size != 0 &&
                  !slice_equal_string(instance.registration, check_id);
  arena_free(&arena);
  return is_other;
}

void consul_answer_free(struct consul_answer *answer)
{
  endpoint_list_free(&answer->passing);
  endpoint_list_free(&answer->failing);
}

void consul_health_url(struct strbuf *out, const char *base, const char *service, uint64_t index, uint32_t wait_ms)
{
  strbuf_add_string(out, base);
  strbuf_add_string(out, "/v1/health/service/");
  percent_encode(slice_from_string(service), out);
  if (index != 0)
    strbuf_printf(out, "?index=%llu&wait=%lums", (unsigned long long)index, (unsigned long)wait_ms);
}

void consul_service_url(struct strbuf *out, const char *base, const char *id, bool deregister)
{
  strbuf_add_string(out, base);
  strbuf_add_string(out, "/v1/agent/service/");
  if (deregister)
    strbuf_add_string(out, "deregister/");
  percent_encode(slice_from_string(id), out);
}

void consul_register_url(struct strbuf *out, const char *base)
{
  strbuf_add_string(out, base);
  strbuf_add_string(out, "/v1/agent/service/register?replace-existing-checks=true");
}

static void write_optional(struct jsontext_writer *writer, const char *key, const char *value)
{
  if (value != NULL)
    jsontext_key_string(writer, key, slice_from_string(value));
}

static void write_check(struct jsontext_writer *writer, const char *health_url, const char *check_id)
{
  jsontext_key(writer, SLICE("Check"));
  jsontext_begin_object(writer);
  jsontext_key_string(writer, "CheckID", slice_from_string(check_id));
  jsontext_key_string(writer, "HTTP", slice_from_string(health_url));
  jsontext_key_string(writer, "Interval", SLICE("2s"));
  jsontext_key_string(writer, "Timeout", SLICE("1s"));
  jsontext_key_string(writer, "DeregisterCriticalServiceAfter", SLICE("1m"));
  // A process registers when it is ready, so it may be called at once and not only after the first check.
  jsontext_key_string(writer, "Status", SLICE("passing"));
  jsontext_end_object(writer);
}

void consul_write_registration(struct strbuf *out, const struct discovery_registration *registration,
                               const char *check_id)
{
  struct slice host = {0};
  int port = 0;
  if (registration->url != NULL && !endpoint_url_split(slice_from_string(registration->url), &host, &port))
    host = (struct slice){0};
  if (registration->address != NULL)
    host = slice_from_string(registration->address);
  if (registration->port != 0)
    port = registration->port;
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, out);
  jsontext_begin_object(&writer);
  jsontext_key_string(&writer, "ID", slice_from_string(registration->id));
  jsontext_key_string(&writer, "Name", slice_from_string(registration->service));
  if (host.size != 0)
    jsontext_key_string(&writer, "Address", host);
  jsontext_key_int(&writer, "Port", port);
  jsontext_key(&writer, SLICE("Meta"));
  jsontext_begin_object(&writer);
  write_optional(&writer, "url", registration->url);
  write_optional(&writer, "version", registration->version);
  write_optional(&writer, "zone", registration->zone);
  write_optional(&writer, "registration", check_id);
  jsontext_end_object(&writer);
  if (registration->health_url != NULL)
    write_check(&writer, registration->health_url, check_id);
  jsontext_end_object(&writer);
}

uint64_t consul_next_index(uint64_t current, uint64_t received)
{
  return received < current ? 0 : received;
}
