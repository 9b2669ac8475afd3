#include "common/rpc/trust_internal.h"

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/rpc/packet_stream_internal.h"
#include "common/security/tls.h"

bool rpc_trust_accepts(const struct rpc_trust *trust, const struct packet_stream *stream,
                       struct service_evidence *evidence, struct error *error)
{
  if (stream->tls != NULL)
    return tls_session_recheck(stream->tls, trust->tls, clock_wall_us() / 1000000, error);
  return evidence->hello == NULL || service_identity_recheck(trust->identity, evidence, error);
}

void rpc_trust_report_revoked(const char *peer, const struct error *error)
{
  metric_add_from_any_thread(metrics_single(METRIC_RPC_REVOKED), 1);
  log_info(
      "rpc",
      "the other side of an open connection is accepted no longer; it gets no new calls and is closed once those in "
      "flight have ended",
      LOG_STRING("peer", peer), LOG_STRING("reason", error->message));
}
