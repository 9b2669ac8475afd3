-- compatible from: 0005
-- Migrate: what is there gets a title; the table may be large, so this locks rows and not the table.
UPDATE items SET title = name WHERE title IS NULL;
