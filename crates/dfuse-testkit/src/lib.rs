//! Test support: synthetic chain, recorded logs, fault injection.
