// Adds the headers of CORS (gateway/cors.h) to every reply of a server, whoever makes it: the gateway, a page or nginx.
#include "gateway/cors.h"
#include "gateway/nginx/module.h"

static ngx_http_output_header_filter_pt next_filter;

static struct slice find_reply_header(const ngx_http_request_t *r, struct slice name)
{
  for (const ngx_list_part_t *part = &r->headers_out.headers.part; part != NULL; part = part->next) {
    const ngx_table_elt_t *headers = part->elts;
    for (ngx_uint_t i = 0; i < part->nelts; i++)
      if (headers[i].hash != 0 && slice_equal(to_slice(headers[i].key), name))
        return to_slice(headers[i].value);
  }
  return (struct slice){0};
}

static ngx_int_t add_headers(ngx_http_request_t *r, struct slice origins)
{
  const struct module_conf *module = ngx_http_get_module_main_conf(r, ngx_http_bulkhead_module);
  bool is_preflight = slice_equal(request_method(r), SLICE("OPTIONS")) &&
                      request_header(r, "Access-Control-Request-Method").data != NULL;
  const struct cors_policy policy = {.origins = origins,
                                     .allowed = strbuf_slice(&module->api->cors_allowed),
                                     .exposed = strbuf_slice(&module->api->cors_exposed),
                                     .methods = find_reply_header(r, SLICE("Allow"))};
  const struct cors_request request = {.origin = request_header(r, "Origin"), .is_preflight = is_preflight};
  struct cors_header headers[CORS_MAX_HEADERS];
  size_t count = cors_make_headers(&policy, &request, headers);
  for (size_t i = 0; i < count; i++)
    if (request_add_header(r, headers[i].name, headers[i].value) != NGX_OK)
      return NGX_ERROR;
  return NGX_OK;
}

static ngx_int_t filter_headers(ngx_http_request_t *r)
{
  const struct server_conf *server = ngx_http_get_module_srv_conf(r, ngx_http_bulkhead_module);
  if (server->cors_origins.len > 0 && r == r->main && add_headers(r, to_slice(server->cors_origins)) != NGX_OK)
    return NGX_ERROR;
  return next_filter(r);
}

char *cors_set_origins(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  struct server_conf *server = conf;
  const ngx_str_t *args = cf->args->elts;
  struct error error;
  server->cors_origins = args[1];
  if (cors_check(to_slice(args[1]), &error) == STATUS_OK)
    return NGX_CONF_OK;
  ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "bulkhead_cors_origins (CORS_ORIGINS): %s", error.message);
  return NGX_CONF_ERROR;
}

void cors_install_filter(void)
{
  next_filter = ngx_http_top_header_filter;
  ngx_http_top_header_filter = filter_headers;
}
