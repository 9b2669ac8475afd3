#include "services/auth/auth_transaction.h"

#include "common/service/call.h"
#include "common/service/resource.h"
#include "common/service/service.h"
#include "common/storage/pg.h"

enum status auth_transact_apart(struct call *call, auth_work *work, const void *arg)
{
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(service_pg(call_service(call)), &tx);
  if (status == STATUS_OK)
    status = work(call, query_in(tx), arg);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

enum status auth_transact(struct call *call, auth_work *work, const void *arg)
{
  struct query_db db = resource_db(call);
  // With an Idempotency-Key there is a transaction, or a failure to tell.
  return db.pg == NULL ? work(call, db, arg) : auth_transact_apart(call, work, arg);
}
