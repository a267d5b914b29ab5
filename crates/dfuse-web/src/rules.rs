//! What parameters of several pages must be.

use dfuse_antelope::Name;
use dfuse_http::params::rules::{Field, Problems, name};

/// A name that is not empty.
pub(crate) fn existing(field: &Field<'_>) -> Result<Name, Problems> {
    let name = name(field)?;
    if name == Name(0) { Err(field.expected("the name of an account")) } else { Ok(name) }
}
