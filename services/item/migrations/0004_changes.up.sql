-- compatible from: 0003
-- What has become of items lately, for those who watch them. The triggers write it in the statement that changes the
-- items, also those of releases before this one, one INSERT for all rows of a statement.
--
-- Changes are ordered by (clock, id). The clock of a change is the number of its transaction, or that of the item's
-- change before where that is higher, which happens where a transaction had its number before it waited for the item.
-- So changes of one item follow each other in this order, and of all changes below pg_snapshot_xmin none is missing.

-- The clock of the item's last change.
ALTER TABLE items ADD changed_in bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint;

CREATE TABLE item_changes (
  clock        bigint NOT NULL,
  id           bigint GENERATED ALWAYS AS IDENTITY,
  item_id      uuid NOT NULL,
  owner_id     uuid NOT NULL,
  kind         smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),  -- 1: created, 2: updated, 3: deleted
  revision     bigint NOT NULL,
  -- By what the item was found before, where it is no longer: of a deleted item, and where an update has changed them.
  old_category text,
  old_tags     text[],
  time         timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (clock, id)
);

-- One row: the last change that was removed because of its age.
CREATE TABLE item_changes_kept (
  clock bigint NOT NULL,
  id    bigint NOT NULL,
  one   boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO item_changes_kept (clock, id) VALUES (0, 0);

CREATE FUNCTION items_created() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO item_changes (clock, item_id, owner_id, kind, revision)
    SELECT pg_current_xact_id()::text::bigint, id, owner_id, 1, revision FROM made;
  RETURN NULL;
END $$;

-- A clock that the server has not reached came with a backup of another one, and counts as none.
CREATE FUNCTION items_updated() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  own constant bigint := pg_current_xact_id()::text::bigint;
  next constant bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
  INSERT INTO item_changes (clock, item_id, owner_id, kind, revision, old_category, old_tags)
    SELECT CASE WHEN now.changed_in < next THEN greatest(now.changed_in, own) ELSE own END,
           now.id, now.owner_id, 2, now.revision,
           CASE WHEN was.category <> now.category OR was.tags <> now.tags THEN was.category END,
           CASE WHEN was.category <> now.category OR was.tags <> now.tags THEN was.tags END
    FROM now JOIN was USING (id);
  RETURN NULL;
END $$;

CREATE FUNCTION items_deleted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  own constant bigint := pg_current_xact_id()::text::bigint;
  next constant bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
  INSERT INTO item_changes (clock, item_id, owner_id, kind, revision, old_category, old_tags)
    SELECT CASE WHEN changed_in < next THEN greatest(changed_in, own) ELSE own END,
           id, owner_id, 3, revision + 1, category, tags
    FROM was;
  RETURN NULL;
END $$;

CREATE TRIGGER created AFTER INSERT ON items REFERENCING NEW TABLE AS made
  FOR EACH STATEMENT EXECUTE FUNCTION items_created();
CREATE TRIGGER updated AFTER UPDATE ON items REFERENCING OLD TABLE AS was NEW TABLE AS now
  FOR EACH STATEMENT EXECUTE FUNCTION items_updated();
CREATE TRIGGER deleted AFTER DELETE ON items REFERENCING OLD TABLE AS was
  FOR EACH STATEMENT EXECUTE FUNCTION items_deleted();
