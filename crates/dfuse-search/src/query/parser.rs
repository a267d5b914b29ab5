//! Tokens to an expression.

use super::{
    expr::{Expr, Value},
    lexer::{Kind, Lexer, Token},
};
use crate::ParseError;

/// Where the language refuses further operands of OR and parentheses.
const MAX_DEPTH: usize = 2501;
/// Parentheses within each other.
pub(super) const MAX_NESTING: usize = 200;

pub(super) type Result<T> = std::result::Result<T, ParseError>;

/// Reads a whole text. Also gives the byte at which the value of each field is, in the order of the text.
pub(super) fn parse(text: &str) -> Result<(Expr, Vec<usize>)> {
    let mut parser = Parser { text, lexer: Lexer::new(text), values_at: Vec::new() };
    parser.lexer.skip_space();
    let expr = parser.expression(0, 0)?;
    match parser.lexer.skip_space() {
        Token { kind: Kind::End, .. } => Ok((expr, parser.values_at)),
        // Everything else begins an operand.
        other => {
            Err(parser
                .error(other.at, "unexpected right parenthesis, expected right hand side expression or end of input"))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    values_at: Vec<usize>,
}

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, at, message)
    }

    /// `and { OR and }`. `depth` is what the language counts, `nesting` what this parser's stack holds.
    fn expression(&mut self, depth: usize, nesting: usize) -> Result<Expr> {
        let mut operands = vec![self.conjunction(depth, nesting)?];
        while self.lexer.skip_space().kind == Kind::Or {
            self.lexer.take();
            let next = self.lexer.skip_space();
            let depth = depth + operands.len();
            if depth >= MAX_DEPTH {
                return Err(self.too_deep(next.at));
            }
            let operand = self.conjunction(depth, nesting);
            operands.push(operand.map_err(|error| within("missing expression after 'or' clause: ", error))?);
        }
        Ok(one_or(operands, Expr::Or))
    }

    /// `unary { [AND] unary }`.
    fn conjunction(&mut self, depth: usize, nesting: usize) -> Result<Expr> {
        let mut operands = vec![self.unary(depth, nesting)?];
        loop {
            let context = match self.lexer.skip_space().kind {
                Kind::End | Kind::Or | Kind::RightParenthesis => return Ok(one_or(operands, Expr::And)),
                Kind::And => {
                    self.lexer.take();
                    self.lexer.skip_space();
                    "missing expression after 'and' clause: "
                }
                _ => "missing expression after implicit 'and' clause: ",
            };
            operands.push(self.unary(depth, nesting).map_err(|error| within(context, error))?);
        }
    }

    fn unary(&mut self, depth: usize, nesting: usize) -> Result<Expr> {
        let mut signs = 0usize;
        while self.lexer.peek().kind == Kind::Not {
            self.lexer.take();
            self.lexer.skip_space();
            signs += 1;
        }
        let operand = self.operand(depth, nesting);
        match signs {
            0 => operand,
            _ => {
                let operand = operand.map_err(|error| within("invalid expression after minus sign: ", error))?;
                Ok(if signs % 2 == 1 { Expr::Not(Box::new(operand)) } else { operand })
            }
        }
    }

    fn operand(&mut self, depth: usize, nesting: usize) -> Result<Expr> {
        let token = self.lexer.peek();
        match token.kind {
            Kind::Name => self.term(),
            Kind::LeftParenthesis => {
                self.lexer.take();
                let next = self.lexer.skip_space();
                if depth + 1 >= MAX_DEPTH || nesting + 1 >= MAX_NESTING {
                    return Err(self.too_deep(next.at));
                }
                let inner = self.expression(depth + 1, nesting + 1);
                let inner = inner.map_err(|error| within("invalid expression after opening parenthesis: ", error))?;
                match self.lexer.skip_space().kind {
                    Kind::RightParenthesis => {
                        self.lexer.take();
                        Ok(inner)
                    }
                    _ => Err(self.error(token.at, "expecting closing parenthesis, got end of input")),
                }
            }
            kind => {
                let message = "expected a search term, minus sign or left parenthesis, got ";
                Err(self.error(token.at, format!("{message}{}", kind.describe())))
            }
        }
    }

    fn too_deep(&self, at: usize) -> ParseError {
        self.error(at, "expression is too long, too much ORs or parenthesis expressions")
    }

    fn term(&mut self) -> Result<Expr> {
        let field = self.lexer.take();
        let colon = self.lexer.skip_space();
        if colon.kind != Kind::Colon {
            let at = if colon.kind == Kind::End { field.at } else { colon.at };
            let message = format!("expecting colon after search field, got {}", colon.kind.describe());
            return Err(self.error(at, message));
        }
        self.lexer.take();
        let start = self.lexer.skip_space();
        self.values_at.push(start.at);
        let values = match start.kind {
            Kind::Name => vec![Value::unquoted(self.lexer.take().text)],
            Kind::Quoting => vec![self.quoted()?],
            Kind::LeftBracket => self.list()?,
            Kind::End => return Err(self.error(start.at, "expecting search value after field, got end of input")),
            kind => {
                let message = "expecting search value after colon, either a string, quoted string or strings list got ";
                return Err(self.error(start.at, format!("{message}{}", kind.describe())));
            }
        };
        Ok(Expr::Match { field: field.text.into(), values })
    }

    /// Whatever is between two quoting characters, which need not be the same.
    fn quoted(&mut self) -> Result<Value> {
        let opening = self.lexer.take();
        let start = opening.at + opening.text.len();
        loop {
            let token = self.lexer.take();
            match token.kind {
                Kind::Quoting if token.at == start => {
                    return Err(self.error(opening.at, "an empty string is not valid"));
                }
                Kind::Quoting => return Ok(Value::Text(self.text[start..token.at].into())),
                Kind::End => {
                    return Err(self.error(opening.at, "expecting closing quoting char \"\\\"\", got end of input"));
                }
                _ => {}
            }
        }
    }

    fn list(&mut self) -> Result<Vec<Value>> {
        self.lexer.take();
        let mut values = Vec::new();
        loop {
            let token = self.lexer.skip_space();
            match token.kind {
                Kind::RightBracket => {
                    self.lexer.take();
                    return Ok(values);
                }
                Kind::Name => values.push(Value::unquoted(self.lexer.take().text)),
                Kind::Quoting => values.push(self.quoted()?),
                Kind::End => return Err(self.unclosed_list(token)),
                kind => {
                    let message = "expecting string value in list, either a string or quoted string got ";
                    return Err(self.error(token.at, format!("{message}{}", kind.describe())));
                }
            }
            let token = self.lexer.skip_space();
            match token.kind {
                Kind::Comma => drop(self.lexer.take()),
                Kind::RightBracket => {}
                Kind::End => return Err(self.unclosed_list(token)),
                _ => return Err(self.error(token.at, "expecting comma after string value item, got string")),
            }
        }
    }

    fn unclosed_list(&self, end: Token<'_>) -> ParseError {
        let message = "expecting string value in list, got end of input, right square bracket ']' missing";
        self.error(end.at, message)
    }
}

fn within(context: &str, mut error: ParseError) -> ParseError {
    error.message.insert_str(0, context);
    error
}

fn one_or(mut operands: Vec<Expr>, several: fn(Vec<Expr>) -> Expr) -> Expr {
    match operands.len() {
        1 => operands.remove(0),
        _ => several(operands),
    }
}
