-- compatible from: 0001
-- Access tokens carry the generation that their account has when they are signed. It grows when what they say of the
-- account holds no more, and tokens of earlier generations are refused.
ALTER TABLE credentials ADD token_generation bigint NOT NULL DEFAULT 1;
