//! Query language, term extraction, posting lists, query execution.
