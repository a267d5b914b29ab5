/// `Display`, `FromStr`, `Debug` and serde for types that are text in JSON, from two functions of the type:
/// `write_to(&self, &mut Vec<u8>)`, which appends UTF-8, and `parse(&str) -> Result<Self, &'static str>`, whose error
/// says what is wrong.
macro_rules! as_text {
    ($($type:ty: $what:literal),+ $(,)?) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut text = Vec::new();
                self.write_to(&mut text);
                f.pad(&String::from_utf8_lossy(&text))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "\"{self}\"")
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::Error;

            fn from_str(text: &str) -> crate::Result<Self> {
                Self::parse(text).map_err(|why| {
                    crate::Error::invalid($what, format!("\"{}\": {why}", crate::error::shorten(text)))
                })
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = Vec::new();
                self.write_to(&mut text);
                serializer.serialize_str(&String::from_utf8_lossy(&text))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("text of a ", $what))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    )+};
}

pub(crate) use as_text;
