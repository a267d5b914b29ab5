//! Contract rows, scopes, key accounts, permission links and tokens, at any block.
