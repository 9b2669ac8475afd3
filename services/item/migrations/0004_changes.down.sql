DROP TRIGGER created ON items;
DROP TRIGGER updated ON items;
DROP TRIGGER deleted ON items;
DROP FUNCTION items_created();
DROP FUNCTION items_updated();
DROP FUNCTION items_deleted();
DROP TABLE item_changes, item_changes_kept;
ALTER TABLE items DROP changed_in;
