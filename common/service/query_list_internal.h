// Private to common/service: the part of a list that needs no database.
#ifndef BULKHEAD_SERVICE_QUERY_LIST_INTERNAL_H
#define BULKHEAD_SERVICE_QUERY_LIST_INTERNAL_H

#include "common/service/query_list.h"
#include "common/service/query_pack_internal.h"

// Packs the response of a page from the rows of its result, into a buffer of the packer's arena. To be called in a
// task: a large page is packed over several turns of the loop.
enum status query_list_pack(const struct query_list *list, const struct query_page *page,
                            const struct query_packer *packer, struct strbuf **wire) MUST_CHECK;

#endif
