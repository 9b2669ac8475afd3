// Compresses replies faster while there is a crowd. gzip takes more of a worker's time than all else that it does for a
// list, so with more requests than can be answered a lower level lets more of them be answered, with replies that are
// somewhat larger.
//
// nginx reads the level from the configuration of the request's location, so a request borrows that of another
// location, which bulkhead_fast_gzip names.
#include "gateway/nginx/module.h"

extern ngx_module_t ngx_http_gzip_filter_module;

char *compression_set_fast(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
  (void)command;
  (void)conf;
  struct module_conf *module = ngx_http_conf_get_module_main_conf(cf, ngx_http_bulkhead_module);
  module->fast_gzip = ngx_http_conf_get_module_loc_conf(cf, ngx_http_gzip_filter_module);
  return NGX_CONF_OK;
}

void compression_hurry(ngx_http_request_t *r)
{
  const struct module_conf *module = ngx_http_get_module_main_conf(r, ngx_http_bulkhead_module);
  if (module->fast_gzip == NULL)
    return;
  void **copy = ngx_palloc(r->pool, ngx_http_max_module * sizeof(*copy));
  if (copy == NULL)
    return;
  memcpy(copy, r->loc_conf, ngx_http_max_module * sizeof(*copy));
  copy[ngx_http_gzip_filter_module.ctx_index] = module->fast_gzip;
  r->loc_conf = copy;
}
