DROP TABLE items;
DROP FUNCTION items_words(text[]);
