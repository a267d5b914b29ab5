//! What parameters may be. A rule takes a [`Field`] and gives its value, or all that is wrong with it.

use std::{ops::RangeInclusive, str::FromStr};

use dfuse_antelope::{Checksum256, Name, PublicKey, Symbol, SymbolCode};
use dfuse_query::{secrets, shorten};

use dfuse_query::nearest;

/// What is wrong with a value: texts that go on after the parameter's name.
pub type Problems = Vec<String>;

/// A parameter's name and its value, trimmed.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The name; of an element of a list with its index, as `accounts[0]`.
    pub name: &'a str,
    /// The value.
    pub text: &'a str,
}

impl Field<'_> {
    /// What was expected, and what came.
    pub fn expected(&self, what: &str) -> Problems {
        vec![self.must_be(what)]
    }

    fn must_be(&self, what: &str) -> String {
        match self.text {
            "" => format!("must be {what}, not empty"),
            text => format!("must be {what}, not \"{}\"", shorten(text)),
        }
    }

    fn parse<T: FromStr>(&self, what: &str) -> Result<T, Problems> {
        // No value that is parsed may begin with a plus sign, which numbers would take.
        let text = Some(self.text).filter(|text| !text.starts_with('+'));
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.expected(what))
    }
}

/// Most elements of a list.
const MAX_LIST: usize = 1500;

/// Any text.
pub fn text(field: &Field<'_>) -> Result<String, Problems> {
    Ok(field.text.to_owned())
}

/// A text of at least so many bytes.
pub fn text_of_at_least(bytes: usize) -> impl Fn(&Field<'_>) -> Result<String, Problems> {
    move |field| match field.text {
        text if text.len() >= bytes => Ok(text.to_owned()),
        _ => Err(field.expected(&format!("a text of at least {bytes} characters"))),
    }
}

/// A name of the chain; the empty text is the name of value 0.
pub fn name(field: &Field<'_>) -> Result<Name, Problems> {
    Name::parse(field.text.as_bytes()).map_err(|why| {
        field.expected("a valid EOS name of up to 13 characters").into_iter().map(|it| format!("{it}: {why}")).collect()
    })
}

/// The scope of a table, and the text that it was given in.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Its value.
    pub name: Name,
    /// As it was given.
    pub text: String,
}

/// A scope of a table, as an [`extended_name`].
pub fn scope(field: &Field<'_>) -> Result<Scope, Problems> {
    Ok(Scope { name: extended_name(field)?, text: field.text.to_owned() })
}

/// A name, or a symbol (`4,EOS`) or symbol code (`EOS`) as a name of the same value.
pub fn extended_name(field: &Field<'_>) -> Result<Name, Problems> {
    let symbol = || field.text.parse().map(|symbol: Symbol| Name(symbol.0));
    let code = || field.text.parse().map(|code: SymbolCode| Name(code.0));
    Name::parse(field.text.as_bytes())
        .or_else(|_| symbol())
        .or_else(|_| code())
        .map_err(|_| field.expected("a valid EOS name, a symbol such as 4,EOS or its code"))
}

/// Up to 1500 values between `|`; blank ones are left out.
pub fn list<T>(element: impl Fn(&Field<'_>) -> Result<T, Problems>) -> impl Fn(&Field<'_>) -> Result<Vec<T>, Problems> {
    move |field| {
        let texts: Vec<_> =
            field.text.split('|').map(str::trim).filter(|text| !text.is_empty()).take(MAX_LIST + 1).collect();
        if texts.is_empty() {
            return Err(vec!["must have at least 1 element".to_owned()]);
        }
        if texts.len() > MAX_LIST {
            return Err(vec![format!("must have at most {MAX_LIST} elements")]);
        }
        let elements = texts.into_iter().enumerate().map(|(i, text)| {
            let name = format!("{}[{i}]", field.name);
            let checked = element(&Field { name: &name, text });
            checked.map_err(|problems| problems.into_iter().map(|problem| format!("{name} {problem}")).collect())
        });
        elements.collect()
    }
}

/// The number of a block: any number of digits, because one that no chain has is above the head like others, and an error
/// says it as it came. What is above 128 bits is cut to them.
pub fn block_num(field: &Field<'_>) -> Result<u128, Problems> {
    let number = are_digits(field).then(|| field.text.parse().unwrap_or(u128::MAX));
    number.ok_or_else(|| field.expected("a valid EOS block num: a whole number, not negative"))
}

/// The number of a block up to which something is listed. Clients write a huge number to say the newest.
pub fn highest_block(field: &Field<'_>) -> Result<u32, Problems> {
    block_num(field).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// A number of digits only; one above 64 bits is cut to the largest.
fn digits(field: &Field<'_>) -> Option<u64> {
    are_digits(field).then(|| field.text.parse().unwrap_or(u64::MAX))
}

fn are_digits(field: &Field<'_>) -> bool {
    !field.text.is_empty() && field.text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A whole number.
pub fn integer(field: &Field<'_>) -> Result<i64, Problems> {
    field.parse("numeric: a whole number")
}

/// A whole number that is not negative; what is above 64 bits is cut to them.
pub fn count(field: &Field<'_>) -> Result<u64, Problems> {
    digits(field).ok_or_else(|| field.expected("numeric: a whole number, not negative"))
}

/// A whole number of the range.
pub fn between<T>(range: RangeInclusive<T>) -> impl Fn(&Field<'_>) -> Result<T, Problems>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |field| {
        let what = format!("between {} and {}", range.start(), range.end());
        let number = integer(field).map_err(|mut problems| {
            if !field.text.is_empty() {
                problems.push(format!("must be {what}"));
            }
            problems
        })?;
        T::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| field.expected(&what))
    }
}

/// A whole number of at least so much; what is above the type's largest is cut to it.
pub fn at_least(least: u32) -> impl Fn(&Field<'_>) -> Result<u32, Problems> {
    move |field| {
        let what = format!("not less than {least}");
        let Some(number) = digits(field) else {
            let mut problems = integer(field).err().unwrap_or_default();
            if !field.text.is_empty() {
                problems.push(field.must_be(&what));
            }
            return Err(problems);
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Some(number).filter(|number| *number >= least).ok_or_else(|| field.expected(&what))
    }
}

/// `true`, `True` or `1`; `false`, `False` or `0`.
pub fn boolean(field: &Field<'_>) -> Result<bool, Problems> {
    match field.text {
        "1" | "true" | "True" => Ok(true),
        "0" | "false" | "False" => Ok(false),
        _ => Err(field.expected("a boolean: true, false, 1 or 0")),
    }
}

/// One of some texts, each with its value.
pub fn one_of<T: Clone>(values: &[(&'static str, T)]) -> impl Fn(&Field<'_>) -> Result<T, Problems> {
    move |field| {
        let found = values.iter().find(|(text, _)| *text == field.text);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let texts: Vec<_> = values.iter().map(|(text, _)| *text).collect();
            let problem = field.must_be(&format!("one of {}", texts.join(", ")));
            vec![match nearest(field.text, texts) {
                Some(near) => format!("{problem}; did you mean \"{near}\"?"),
                None => problem,
            }]
        })
    }
}

/// `asc` or `desc` in any case; true for the latter.
pub fn sort_is_descending(field: &Field<'_>) -> Result<bool, Problems> {
    let text = field.text.to_ascii_lowercase();
    one_of(&[("desc", true), ("asc", false)])(&Field { name: field.name, text: &text })
}

/// The id of a block or transaction: 64 hex digits of any case.
pub fn id(field: &Field<'_>) -> Result<Checksum256, Problems> {
    field.text.parse().map_err(|_| {
        let mut problems = Vec::new();
        if field.text.len() != 64 {
            problems.push(field.must_be("64 hex digits: exactly 64 characters"));
        }
        if field.text.bytes().any(|byte| !byte.is_ascii_hexdigit()) {
            problems.push(field.must_be("hexadecimal"));
        }
        problems
    })
}

/// Bytes in hex digits of any case; at least one.
pub fn hex(field: &Field<'_>) -> Result<Vec<u8>, Problems> {
    // Without the prefix that the decoder would take.
    let digits = field.text.bytes().all(|byte| byte.is_ascii_hexdigit()) && !field.text.is_empty();
    let bytes = if digits { const_hex::decode(field.text).ok() } else { None };
    bytes.ok_or_else(|| field.expected("hexadecimal, two digits for each byte"))
}

/// A public key in any of its text forms: `EOS...`, `PUB_K1_...`, `PUB_R1_...`, `PUB_WA_...`.
pub fn public_key(field: &Field<'_>) -> Result<PublicKey, Problems> {
    if secrets::contains_private_key(field.text) {
        let problem = "must be a valid EOS public key, and looks like a private key, which nobody else may know: if it is in use, \
             replace it";
        return Err(vec![problem.to_owned()]);
    }
    field.parse("a valid EOS public key: EOS..., PUB_K1_..., PUB_R1_... or PUB_WA_...")
}
