DROP FUNCTION audit_forget(bigint, bigint);
DROP TABLE audit_heads;
DROP TABLE audit_links;
DROP TABLE audit_pending;
DROP TABLE audit_events;
