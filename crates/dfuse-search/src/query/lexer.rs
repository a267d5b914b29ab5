//! Text to tokens. Every text is a sequence of tokens; what is wrong with it is for the parser to say.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Quoting,
    Colon,
    Comma,
    Not,
    Or,
    And,
    LeftParenthesis,
    RightParenthesis,
    LeftBracket,
    RightBracket,
    Name,
    Space,
    End,
}

impl Kind {
    /// As error messages call it.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Quoting => "Quoting",
            Self::Colon => "Colon",
            Self::Comma => "Comma",
            Self::Not => "NotOperator",
            Self::Or => "OrOperator",
            Self::And => "AndOperator",
            Self::LeftParenthesis => "LeftParenthesis",
            Self::RightParenthesis => "RightParenthesis",
            Self::LeftBracket => "LeftSquareBracket",
            Self::RightBracket => "RightSquareBracket",
            Self::Name => "Name",
            Self::Space => "Space",
            Self::End => "end of input",
        }
    }
}

/// A piece of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// Byte offset of its start.
    pub(super) at: usize,
    pub(super) text: &'a str,
}

/// Splits a text; looks one token ahead.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    next: Token<'a>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, next: token(text, 0) }
    }

    /// The next token, which stays.
    pub(super) fn peek(&self) -> Token<'a> {
        self.next
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Token<'a> {
        let taken = self.next;
        self.next = token(self.text, taken.at + taken.text.len());
        taken
    }

    /// Passes blanks over, if they come next, and looks at what follows.
    pub(super) fn skip_space(&mut self) -> Token<'a> {
        if self.next.kind == Kind::Space {
            self.take();
        }
        self.next
    }
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ')
}

/// The token at `at`: operators come before names.
fn token(text: &str, at: usize) -> Token<'_> {
    let rest = &text[at..];
    let length_while = |wanted: fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let (kind, length) = match rest.as_bytes() {
        [] => (Kind::End, 0),
        [b'"' | b'\'', ..] => (Kind::Quoting, 1),
        [b':', ..] => (Kind::Colon, 1),
        [b',', ..] => (Kind::Comma, 1),
        [b'-', ..] => (Kind::Not, 1),
        [b'O', b'R', ..] | [b'|', b'|', ..] => (Kind::Or, 2),
        [b'A', b'N', b'D', ..] => (Kind::And, 3),
        [b'&', b'&', ..] => (Kind::And, 2),
        [b'(', ..] => (Kind::LeftParenthesis, 1),
        [b')', ..] => (Kind::RightParenthesis, 1),
        [b'[', ..] => (Kind::LeftBracket, 1),
        [b']', ..] => (Kind::RightBracket, 1),
        [b'\t' | b'\n' | b'\x0c' | b'\r' | b' ', ..] => (Kind::Space, length_while(is_space)),
        _ => (Kind::Name, length_while(continues_name)),
    };
    Token { kind, at, text: &rest[..length] }
}

fn continues_name(c: char) -> bool {
    !is_space(c) && !matches!(c, '\'' | '"' | ':' | ',' | '(' | ')' | '[' | ']')
}

/// Whether the text is one name.
pub(super) fn is_name(text: &str) -> bool {
    let first = token(text, 0);
    first.kind == Kind::Name && first.text.len() == text.len()
}
