// Variables for the access log beside nginx's own, none of which holds a token or a query, and $bulkhead_address for
// limit_conn.
#include "gateway/nginx/module.h"

enum fact {
  FACT_REQUEST_ID,
  FACT_TRACE_ID,
  FACT_CALLER,
  FACT_METHOD,
  FACT_RATE_CLASS,
  FACT_PROTOCOL,
  FACT_INSTANCE,
  FACT_REASON,
  FACT_PATH,
  // Numbers.
  FACT_RECEIVED,
  FACT_SENT,
  FACT_PREPARE,
  FACT_SERVICE,
  FACT_REPLY,
};

static const struct {
  ngx_str_t name;
  enum fact fact;
} variables[] = {
    {ngx_string("bulkhead_request_id"), FACT_REQUEST_ID},
    {ngx_string("bulkhead_trace_id"), FACT_TRACE_ID},
    {ngx_string("bulkhead_caller"), FACT_CALLER},
    {ngx_string("bulkhead_method"), FACT_METHOD},
    {ngx_string("bulkhead_rate_class"), FACT_RATE_CLASS},
    {ngx_string("bulkhead_protocol"), FACT_PROTOCOL},
    {ngx_string("bulkhead_instance"), FACT_INSTANCE},
    {ngx_string("bulkhead_reason"), FACT_REASON},
    {ngx_string("bulkhead_path"), FACT_PATH},
    {ngx_string("bulkhead_messages_received"), FACT_RECEIVED},
    {ngx_string("bulkhead_messages_sent"), FACT_SENT},
    {ngx_string("bulkhead_prepare_seconds"), FACT_PREPARE},
    {ngx_string("bulkhead_service_seconds"), FACT_SERVICE},
    {ngx_string("bulkhead_reply_seconds"), FACT_REPLY},
};

// Escapes the bytes of a path that are not ASCII, because a log is UTF-8 and a path may hold any byte; nginx itself
// escapes the rest (escape=json). NULL data without memory.
static struct slice escape_path(ngx_http_request_t *r)
{
  static const char digits[] = "0123456789ABCDEF";
  struct slice path = request_path(r);
  size_t high = 0;
  for (size_t i = 0; i < path.size; i++)
    high += (unsigned char)path.data[i] >= 0x80;
  if (high == 0)
    return path;
  char *text = ngx_pnalloc(r->pool, path.size + 2 * high);
  if (text == NULL)
    return (struct slice){0};
  size_t length = 0;
  for (size_t i = 0; i < path.size; i++) {
    unsigned char byte = (unsigned char)path.data[i];
    if (byte < 0x80) {
      text[length++] = (char)byte;
      continue;
    }
    text[length++] = '%';
    text[length++] = digits[byte >> 4];
    text[length++] = digits[byte & 15];
  }
  return slice_make(text, length);
}

static struct slice write_count(ngx_http_request_t *r, uint64_t count)
{
  u_char *text = ngx_pnalloc(r->pool, NGX_INT64_LEN);
  if (text == NULL)
    return SLICE("0");
  return slice_make((const char *)text, (size_t)(ngx_sprintf(text, "%uL", count) - text));
}

static struct slice write_seconds(ngx_http_request_t *r, uint64_t us)
{
  u_char *text = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000000"));
  if (text == NULL)
    return SLICE("0");
  const u_char *end = ngx_sprintf(text, "%uL.%06uL", us / 1000000, us % 1000000);
  return slice_make((const char *)text, (size_t)(end - text));
}

// Returns a fact that is a number. What has no exchange, such as a page, has none: it is 0.
static struct slice find_number(ngx_http_request_t *r, enum fact fact)
{
  const struct exchange *exchange = request_exchange(r);
  if (exchange == NULL)
    return SLICE("0");
  switch (fact) {
  case FACT_RECEIVED:
    return write_count(r, exchange_facts(exchange).messages_received);
  case FACT_SENT:
    return write_count(r, exchange_facts(exchange).messages_sent);
  case FACT_PREPARE:
    return write_seconds(r, exchange_phase_us(exchange, EXCHANGE_PHASE_PREPARE));
  case FACT_SERVICE:
    return write_seconds(r, exchange_phase_us(exchange, EXCHANGE_PHASE_SERVICE));
  default:
    return write_seconds(r, exchange_phase_us(exchange, EXCHANGE_PHASE_REPLY));
  }
}

static struct slice find_fact(ngx_http_request_t *r, enum fact fact)
{
  if (fact == FACT_PATH)
    return escape_path(r);
  if (fact > FACT_PATH)
    return find_number(r, fact);
  const struct exchange *exchange = request_exchange(r);
  if (exchange == NULL)
    return (struct slice){0};
  struct exchange_facts facts = exchange_facts(exchange);
  switch (fact) {
  case FACT_REQUEST_ID:
    return facts.request_id;
  case FACT_TRACE_ID:
    return facts.trace_id;
  case FACT_CALLER:
    return facts.caller_id;
  case FACT_METHOD:
    return facts.method;
  case FACT_RATE_CLASS:
    return facts.rate_class;
  case FACT_PROTOCOL:
    return facts.protocol;
  case FACT_INSTANCE:
    return facts.instance;
  case FACT_REASON:
    return facts.reason;
  default:
    break;
  }
  return (struct slice){0};
}

// Sets a variable to a text that lives as long as the request's pool, as the exchange does.
static ngx_int_t get_variable(ngx_http_request_t *r, ngx_http_variable_value_t *value, uintptr_t data)
{
  struct slice text = find_fact(r, (enum fact)data);
  value->valid = 1;
  // The value is not cacheable, because an exchange learns its facts step by step.
  value->no_cacheable = 1;
  value->not_found = 0;
  value->len = (unsigned)(text.size & 0xfffffff);
  value->data = to_text(text).data;
  return NGX_OK;
}

// Sets the variable to the bytes of the key that the client's address counts under. nginx counts no empty key.
static ngx_int_t get_address(ngx_http_request_t *r, ngx_http_variable_value_t *value, uintptr_t data)
{
  (void)data;
  uint64_t *key = ngx_palloc(r->pool, sizeof(*key));
  if (key == NULL)
    return NGX_ERROR;
  *value = (ngx_http_variable_value_t){.not_found = 1};
  if (!address_key(r->connection->sockaddr, key))
    return NGX_OK;
  *value = (ngx_http_variable_value_t){.valid = 1, .len = sizeof(*key), .data = (u_char *)key};
  return NGX_OK;
}

static ngx_int_t add_address(ngx_conf_t *cf)
{
  ngx_str_t name = ngx_string("bulkhead_address");
  ngx_http_variable_t *variable = ngx_http_add_variable(cf, &name, 0);
  if (variable == NULL)
    return NGX_ERROR;
  variable->get_handler = get_address;
  return NGX_OK;
}

ngx_int_t variables_add(ngx_conf_t *cf)
{
  if (add_address(cf) != NGX_OK)
    return NGX_ERROR;
  for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
    ngx_str_t name = variables[i].name;
    ngx_http_variable_t *variable = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
    if (variable == NULL)
      return NGX_ERROR;
    variable->get_handler = get_variable;
    variable->data = variables[i].fact;
  }
  return NGX_OK;
}
