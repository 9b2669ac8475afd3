UPDATE items SET title = NULL;
