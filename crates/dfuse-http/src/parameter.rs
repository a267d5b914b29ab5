/// What an endpoint takes under a name.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What its values are.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What is taken if it is absent, as it would be written.
    pub default: Option<&'static str>,
    /// What it is for.
    pub description: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In braces in the path.
    Path,
    /// In the query, or in the form that is posted.
    Query,
    /// A field of the JSON object that is posted.
    Json,
}

/// What the values of a parameter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A name of the chain.
    Name,
    /// A name, a symbol or a symbol code.
    ExtendedName,
    /// Names between `|`.
    Names,
    /// Extended names between `|`.
    ExtendedNames,
    /// A list of texts.
    Texts,
    /// `true` or `false`.
    Flag,
    /// The number of a block.
    BlockNumber,
    /// A whole number of that range.
    Integer(u64, u64),
    /// The id of a block or transaction: 64 hex digits.
    Id,
    /// An id, or the beginning of one.
    IdPrefix,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A public key in any of its forms.
    PublicKey,
    /// A time, in ISO 8601 or as a number.
    Time,
    /// A symbol code.
    SymbolCode,
    /// A primary key in the form that `key_type` says.
    PrimaryKey,
    /// A query of the search language.
    SearchQuery,
    /// What an answer had as its `cursor`.
    Cursor,
}

impl Parameter {
    /// One that must be there, in the query or form.
    pub const fn required(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, place: Place::Query, kind, required: true, default: None, description }
    }

    /// One that may be absent, in the query or form.
    pub const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { required: false, ..Self::required(name, kind, description) }
    }

    /// The same with what is taken if it is absent.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same in the path.
    #[must_use]
    pub const fn in_path(self) -> Self {
        Self { place: Place::Path, ..self }
    }

    /// The same as a field of a JSON object.
    #[must_use]
    pub const fn in_json(self) -> Self {
        Self { place: Place::Json, ..self }
    }
}
