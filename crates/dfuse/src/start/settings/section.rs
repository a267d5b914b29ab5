//! Settings are written once: name, type, default and description.

/// Declares the settings of a section. The documentation of a field is its description, which `dfuse tools print-config` and
/// docs/configuration.md show: it is text of a configuration file, without markup. `with` names values that defaults are taken
/// from. `sections` come behind the settings of the section itself.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub(crate) struct $name:ident in $prefix:literal
        $(with $origin:ident = $value:expr;)*
        {
            $( $(#[doc = $text:literal])+ $field:ident: $type:ty = $default:expr, )+
        }
        $(sections { $( $part:ident: $part_type:ty, )+ })?
    ) => {
        $(#[doc = $about])+
        #[allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links, reason = "brackets are those of a TOML file")]
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $( $(#[doc = $text])+ pub(crate) $field: $type, )+
            $($( pub(crate) $part: $part_type, )+)?
        }

        impl Default for $name {
            fn default() -> Self {
                $(let $origin = $value;)*
                Self {
                    $( $field: $default, )+
                    $($( $part: <$part_type>::default(), )+)?
                }
            }
        }

        impl $name {
            /// The name of each setting and what is said of it, which begins with a blank.
            pub(crate) fn descriptions() -> impl Iterator<Item = (&'static str, &'static str)> {
                let own = [$( (concat!($prefix, stringify!($field)), concat!($($text),+)), )+];
                own.into_iter()$($(.chain(<$part_type>::descriptions()))+)?
            }
        }
    };
}

pub(super) use section;
