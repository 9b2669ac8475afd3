ALTER INDEX items_by_tag RESET (gin_pending_list_limit);
ALTER INDEX items_by_word RESET (gin_pending_list_limit);
