-- compatible from: 0001
-- Admins find accounts by how an address or a name begins.
-- With many accounts build the indexes beforehand: services/README.md, "Changing a schema while it is in use".
CREATE INDEX IF NOT EXISTS users_by_email_begin ON users (lower(email) text_pattern_ops);
CREATE INDEX IF NOT EXISTS users_by_name_begin ON users (lower(display_name) text_pattern_ops);
