//! Text of an expression to tokens.

use crate::ParseError;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

impl Token {
    /// As messages call it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("\"{name}\""),
            Self::Text(_) => "a text".to_owned(),
            Self::Int(_) | Self::Uint(_) | Self::Double(_) => "a number".to_owned(),
            Self::Sign(sign) => format!("\"{sign}\""),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// All tokens, each with the byte at which it begins; the last is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push((at, token));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, at, message)
    }

    /// Passes over white space and comments, which go from `//` to the end of the line.
    fn skip_space(&mut self) {
        loop {
            let trimmed = self.rest().trim_ascii_start();
            let length = match trimmed.strip_prefix("//") {
                Some(comment) => 2 + comment.find('\n').unwrap_or(comment.len()),
                None => 0,
            };
            self.at = self.text.len() - trimmed.len() + length;
            if length == 0 {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(Token::End) };
        let raw = self.rest().starts_with("r'") || self.rest().starts_with("r\"");
        if raw || first == '\'' || first == '"' {
            self.at += usize::from(raw);
            return self.quoted(raw).map(Token::Text);
        }
        let is_fraction = first == '.' && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
        if first.is_ascii_digit() || is_fraction {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
            self.at += length;
            return Ok(Token::Name(self.text[start..self.at].to_owned()));
        }
        match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
            Some(sign) => {
                self.at += sign.len();
                Ok(Token::Sign(sign))
            }
            None => Err(self.error(start, format!("{first:?} has no meaning here"))),
        }
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let wrong = |lexer: &Self| lexer.error(start, "not a number, or one that is too large");
        if let Some(hex) = self.rest().strip_prefix("0x") {
            let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let value = u64::from_str_radix(&hex[..length], 16).map_err(|_| wrong(self))?;
            self.at += 2 + length;
            return self.integer(value).ok_or_else(|| wrong(self));
        }
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(start);
        let mut is_double = false;
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1);
            is_double = true;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > end + 1 + sign {
                end = exponent;
                is_double = true;
            }
        }
        let text = &self.text[start..end];
        self.at = end;
        match is_double {
            true => text.parse().map(Token::Double).map_err(|_| wrong(self)),
            false => text.parse().ok().and_then(|value| self.integer(value)).ok_or_else(|| wrong(self)),
        }
    }

    /// Takes the `u` after an unsigned number.
    fn integer(&mut self, value: u64) -> Option<Token> {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            return Some(Token::Uint(value));
        }
        i64::try_from(value).ok().map(Token::Int)
    }

    fn quoted(&mut self, raw: bool) -> Result<String, ParseError> {
        let start = self.at;
        let mut chars = self.text[start..].char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut value = String::new();
        while let Some((at, next)) = chars.next() {
            if Some(next) == quote {
                self.at = start + at + 1;
                return Ok(value);
            }
            if next != '\\' || raw {
                value.push(next);
                continue;
            }
            let escaped = chars.next().and_then(|(_, escaped)| match escaped {
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                '\\' | '\'' | '"' | '`' | '?' => Some(escaped),
                'x' => hex(&mut chars, 2),
                'u' => hex(&mut chars, 4),
                'U' => hex(&mut chars, 8),
                _ => None,
            });
            value.push(escaped.ok_or_else(|| self.error(start + at, "an unknown escape in a text"))?);
        }
        Err(self.error(start, "a text that does not end"))
    }
}

fn hex(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let code = (0..digits).try_fold(0, |code, _| Some(code << 4 | chars.next()?.1.to_digit(16)?));
    code.and_then(char::from_u32)
}
