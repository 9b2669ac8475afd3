-- Items. The texts' sizes are the contract's (proto/item/v1/item.proto); the checks here catch what must never be stored.
CREATE FUNCTION items_words(tags text[]) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  RETURN array_to_string(tags, ' ');

CREATE TABLE items (
  id          uuid PRIMARY KEY,
  owner_id    uuid NOT NULL,
  sku         text NOT NULL CHECK (sku <> ''),
  name        text NOT NULL CHECK (name <> ''),
  description text NOT NULL,
  category    text NOT NULL,
  tags        text[] NOT NULL,
  price       numeric CHECK (price >= 0),
  currency    text CHECK (currency ~ '^[A-Z]{3}$'),
  quantity    integer NOT NULL CHECK (quantity >= 0),
  attributes  jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
  -- Counts the changes; the etag.
  revision    bigint NOT NULL DEFAULT 1,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  search      tsvector NOT NULL GENERATED ALWAYS AS (
                setweight(to_tsvector('english', sku || ' ' || name), 'A') ||
                setweight(to_tsvector('english', items_words(tags)), 'B') ||
                setweight(to_tsvector('english', description), 'C')) STORED,
  CONSTRAINT items_owner_sku_key UNIQUE (owner_id, sku),
  CONSTRAINT items_price_has_currency CHECK ((price IS NULL) = (currency IS NULL))
);

-- One index for each order that a list may ask for; id breaks ties, so that a page token names one place.
CREATE INDEX items_by_create_time ON items (create_time, id);
CREATE INDEX items_by_update_time ON items (update_time, id);
CREATE INDEX items_by_name ON items (name COLLATE "C", id);
CREATE INDEX items_by_quantity ON items (quantity, id);
-- Filters.
CREATE INDEX items_by_owner ON items (owner_id, create_time, id);
CREATE INDEX items_by_category ON items (category, create_time, id);
CREATE INDEX items_by_tag ON items USING gin (tags);
CREATE INDEX items_by_word ON items USING gin (search);
