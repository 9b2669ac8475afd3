DROP TABLE spent_challenges;
DROP TABLE passkeys;
