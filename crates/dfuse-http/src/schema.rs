//! What answers look like.

/// The form of an endpoint's good answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnswerForm {
    /// Not said yet: every endpoint of a server says it.
    Unsaid,
    /// JSON of that schema.
    Json(Schema),
    /// A text of that media type.
    Text(&'static str),
    /// Another protocol on the same connection.
    Upgrade,
    /// Another place to go to.
    Redirect,
    /// What another server answers, passed on.
    PassedOn,
}

/// What a JSON value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schema {
    /// Whatever it is.
    Anything,
    /// A text.
    Text,
    /// A text that is one of these.
    Choice(&'static [&'static str]),
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of such.
    List(&'static Self),
    /// An object with any keys, and such values.
    Map(&'static Self),
    /// An object with these groups of fields. There may be others.
    Object(&'static [&'static [Field]]),
    /// Such, or null.
    Nullable(&'static Self),
    /// One of these.
    Either(&'static [Self]),
    /// Such, which documents describe once, under that name.
    Named(&'static str, &'static Self),
}

/// A field of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its values look like.
    pub schema: Schema,
    /// Whether it is always there.
    pub required: bool,
}

impl Field {
    /// One that is always there.
    pub const fn always(name: &'static str, schema: Schema) -> Self {
        Self { name, schema, required: true }
    }

    /// One that may be absent.
    pub const fn maybe(name: &'static str, schema: Schema) -> Self {
        Self { name, schema, required: false }
    }
}
