-- A change adds to the pending lists of the GIN indexes, and the one that fills a list empties it: for 4 MB, which is
-- PostgreSQL's default, this takes 0.2 s, and other changes wait for it.
ALTER INDEX items_by_tag SET (gin_pending_list_limit = 512);
ALTER INDEX items_by_word SET (gin_pending_list_limit = 512);
