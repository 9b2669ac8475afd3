// Jobs for requests that name an address and must not tell whether an account has it: the call only adds the job, in
// the same time for every address. The job's payload is the address, sealed.
#ifndef BULKHEAD_SERVICES_AUTH_ADDRESS_JOBS_H
#define BULKHEAD_SERVICES_AUTH_ADDRESS_JOBS_H

#include "common/base/status.h"

struct call;
struct job;

struct address_job_kind {
  const char *name;          // of the job
  const char *seal_context;  // what an address is sealed for
};

// Adds the job of a request. A second request for an address, while the first one waits, is the same request.
enum status address_job_add(struct call *call, const struct address_job_kind *kind, const char *email) MUST_CHECK;

// The account that a job is for; its texts live as long as the run.
struct addressee {
  const char *email;
  const char *user_id;
};
// Finds the account, in the run of a job. NOT_FOUND where there is none.
enum status address_job_find(struct job *job, const struct address_job_kind *kind,
                             struct addressee *addressee) MUST_CHECK;

#endif
