// Tells operators when the public certificate expires, as nginx has loaded it.
#include <ngx_http_ssl_module.h>
#include <time.h>

#include "common/observe/metrics.h"
#include "gateway/nginx/module.h"

// Returns the Unix time; 0 where there is no certificate or its date cannot be read.
static int64_t find_expiry(const ngx_http_core_srv_conf_t *server)
{
  const ngx_http_ssl_srv_conf_t *conf = server->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
  const X509 *certificate = conf->ssl.ctx == NULL ? NULL : SSL_CTX_get0_certificate(conf->ssl.ctx);
  struct tm time;
  if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1)
    return 0;
  return timegm(&time);
}

void certificate_tell_expiry(ngx_cycle_t *cycle)
{
  const ngx_http_core_main_conf_t *core = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);
  ngx_http_core_srv_conf_t *const *servers = core->servers.elts;
  int64_t first = 0;
  for (ngx_uint_t i = 0; i < core->servers.nelts; i++) {
    int64_t expiry = find_expiry(servers[i]);
    if (expiry != 0 && (first == 0 || expiry < first))
      first = expiry;
  }
  if (first != 0)
    metric_set(metrics_single(METRIC_CERTIFICATE_EXPIRY), first);
}
