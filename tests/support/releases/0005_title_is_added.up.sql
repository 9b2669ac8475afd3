-- compatible from: 0004
-- Expand: items.title may take the place of items.name. Releases before know nothing of it.
ALTER TABLE items ADD title text;
