ALTER TABLE api_keys DROP scopes;
