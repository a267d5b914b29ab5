/// A keyspace of the store that belongs to one index; its name is that of the keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family(&'static str);

impl Family {
    /// The family with that name, which no other index may use.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}
