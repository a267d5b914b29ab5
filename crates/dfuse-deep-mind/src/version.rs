/// What wrote the log, which decides the layout of its binary fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Software {
    /// The dfuse forks of EOSIO 1.8 and 2.0: `DEEP_MIND_VERSION 12`.
    Eosio20,
    /// EOSIO 2.1: `DEEP_MIND_VERSION 13 N`.
    Eosio21,
    /// Leap 3.1 to 5: `DEEP_MIND_VERSION leap 13 N`.
    Leap,
    /// Spring 1: `DEEP_MIND_VERSION spring 1 N`.
    Spring,
}

impl Software {
    /// Reads what stands after `DEEP_MIND_VERSION`. The minor version does not change the layout.
    pub(crate) fn parse(fields: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = fields.split(|&b| b == b' ').collect();
        let is_number = |field: &[u8]| !field.is_empty() && field.iter().all(u8::is_ascii_digit);
        match fields[..] {
            [b"12"] => Some(Self::Eosio20),
            [b"12", minor] if is_number(minor) => Some(Self::Eosio20),
            [b"13"] => Some(Self::Eosio21),
            [b"13", minor] if is_number(minor) => Some(Self::Eosio21),
            [b"leap", b"13", minor] if is_number(minor) => Some(Self::Leap),
            [b"spring", b"1", minor] if is_number(minor) => Some(Self::Spring),
            _ => None,
        }
    }

    /// Action traces end with a return value.
    pub(crate) fn has_return_values(self) -> bool {
        self != Self::Eosio20
    }

    /// Action traces have disk deltas after RAM deltas, and blocks can be pruned.
    pub(crate) fn is_eosio_21(self) -> bool {
        self == Self::Eosio21
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_versions() {
        for (text, software) in [
            ("12", Some(Software::Eosio20)),
            ("13 1", Some(Software::Eosio21)),
            ("leap 13 0", Some(Software::Leap)),
            ("spring 1 0", Some(Software::Spring)),
            ("spring 2 0", None),
            ("leap 14 0", None),
            ("11", None),
            ("", None),
            ("leap 13", None),
            ("leap 13 x", None),
        ] {
            assert_eq!(Software::parse(text.as_bytes()), software, "{text}");
        }
    }
}
