// Private to common/service: what the tasks of a loop do now, as JSON for the admin port.
#ifndef BULKHEAD_SERVICE_TASK_LIST_INTERNAL_H
#define BULKHEAD_SERVICE_TASK_LIST_INTERNAL_H

#include "common/base/strbuf.h"
#include "common/runtime/loop.h"

// Appends {"count":2,"tasks":[{"method":"item.v1.ItemService/GetItem","state":"waiting","waitingFor":"get_item",
// "ageMs":12,"deadlineMs":4988,"cancelled":false,"requestId":"...","traceId":"..."}, ...]}, the oldest task first.
// `deadlineMs` is the time left, 0 when it has passed, absent without a deadline; absent are also ids that a task has
// not. Of more than 1,000 tasks the oldest 1,000 are listed; `count` has all.
void task_list_render(struct loop *loop, struct strbuf *out);

#endif
