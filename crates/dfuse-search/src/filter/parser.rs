//! Tokens to a program, with the types of everything checked.

use regex_lite::RegexBuilder;

use super::{
    lexer::{Token, tokens},
    program::{Expr, Function, Macro, Operator, Program},
    types::Type,
    variable::Variable,
};
use crate::ParseError;

/// Expressions within each other, which is how deep evaluation goes. Operands of `&&` and `||` in a row are side by side.
const MAX_DEPTH: usize = 48;
/// Bytes of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

type Result<T> = std::result::Result<T, ParseError>;

use Operator::{
    Add, Divide, Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, Multiply, NotEqual, Remainder, Subtract,
};

/// Operators by how strongly they bind, the weakest first.
const RELATIONS: [(&str, Operator); 6] =
    [("==", Equal), ("!=", NotEqual), ("<", Less), ("<=", LessOrEqual), (">", Greater), (">=", GreaterOrEqual)];
const SUMS: [(&str, Operator); 2] = [("+", Add), ("-", Subtract)];
const PRODUCTS: [(&str, Operator); 3] = [("*", Multiply), ("/", Divide), ("%", Remainder)];

/// An expression with its type, how deep it is, and where it begins.
struct Typed {
    expr: Expr,
    kind: Type,
    depth: usize,
    at: usize,
}

impl Program {
    pub(super) fn compile(text: &str) -> Result<Self> {
        let mut parser =
            Parser { text, tokens: tokens(text)?, next: 0, depth: 0, names: Vec::new(), locals: 0, reads_data: false };
        let root = parser.expression()?;
        if *parser.peek() != Token::End {
            return Err(parser.unexpected("an operator or the end"));
        }
        if !root.kind.may_be(&Type::Bool) {
            return Err(parser.error(root.at, format!("a filter is true or false, this is {}", root.kind)));
        }
        Ok(Self { root: root.expr, locals: parser.locals, reads_data: parser.reads_data })
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// Expressions that are being read.
    depth: usize,
    /// Variables of macros around, with their types.
    names: Vec<(String, Type)>,
    locals: usize,
    reads_data: bool,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        // The end stays.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("\"{sign}\""))) }
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, at, message)
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        self.error(self.at(), format!("expected {expected}, got {}", self.peek().describe()))
    }

    fn typed(&self, expr: Expr, kind: Type, depth: usize, at: usize) -> Result<Typed> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        Ok(Typed { expr, kind, depth, at })
    }

    fn too_deep(&self, at: usize) -> ParseError {
        self.error(at, format!("more than {MAX_DEPTH} expressions within each other"))
    }

    fn want(&self, operand: &Typed, wanted: &Type, of: &str) -> Result<()> {
        if operand.kind.may_be(wanted) {
            return Ok(());
        }
        Err(self.error(operand.at, format!("{of} takes {wanted}, this is {}", operand.kind)))
    }

    /// `or [ "?" or ":" expression ]`.
    fn expression(&mut self) -> Result<Typed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep(self.at()));
        }
        let mut first = self.any_of()?;
        if self.take_sign("?") {
            self.want(&first, &Type::Bool, "\"?\"")?;
            let then = self.any_of()?;
            self.expect(":")?;
            let otherwise = self.expression()?;
            let depth = 1 + first.depth.max(then.depth).max(otherwise.depth);
            let kind = then.kind.join(&otherwise.kind);
            let expr = Expr::If(Box::new([first.expr, then.expr, otherwise.expr]));
            first = self.typed(expr, kind, depth, first.at)?;
        }
        self.depth -= 1;
        Ok(first)
    }

    fn any_of(&mut self) -> Result<Typed> {
        self.several("||", Expr::Any, Self::all_of)
    }

    fn all_of(&mut self) -> Result<Typed> {
        self.several("&&", Expr::All, Self::relation)
    }

    fn several(
        &mut self,
        sign: &str,
        several: fn(Vec<Expr>) -> Expr,
        operand: fn(&mut Self) -> Result<Typed>,
    ) -> Result<Typed> {
        let first = operand(self)?;
        if !matches!(self.peek(), Token::Sign(found) if *found == sign) {
            return Ok(first);
        }
        let of = format!("\"{sign}\"");
        self.want(&first, &Type::Bool, &of)?;
        let (mut depth, at, mut operands) = (first.depth, first.at, vec![first.expr]);
        while self.take_sign(sign) {
            let next = operand(self)?;
            self.want(&next, &Type::Bool, &of)?;
            depth = depth.max(next.depth);
            operands.push(next.expr);
        }
        self.typed(several(operands), Type::Bool, depth + 1, at)
    }

    fn relation(&mut self) -> Result<Typed> {
        let mut left = self.sum()?;
        loop {
            let found = match self.peek() {
                Token::Sign(sign) => RELATIONS.iter().find(|(text, _)| text == sign).map(|(_, operator)| *operator),
                Token::Name(name) if name == "in" => Some(In),
                _ => None,
            };
            let Some(operator) = found else { return Ok(left) };
            let at = self.at();
            self.take();
            let right = self.sum()?;
            let (a, b) = (&left.kind, &right.kind);
            let fits = match operator {
                Equal | NotEqual => a.compares_with(b),
                In => match b {
                    Type::Any => true,
                    Type::List(item) => a.compares_with(item),
                    Type::Map => a.may_be(&Type::String),
                    _ => false,
                },
                _ => {
                    let is_ordered =
                        |kind: &Type| kind.is_number() || matches!(kind, Type::String | Type::Bool | Type::Any);
                    is_ordered(a) && is_ordered(b) && a.compares_with(b)
                }
            };
            left = self.operation(operator, left, right, fits.then_some(Type::Bool), at)?;
        }
    }

    fn sum(&mut self) -> Result<Typed> {
        self.arithmetic(&SUMS, Self::product)
    }

    fn product(&mut self) -> Result<Typed> {
        self.arithmetic(&PRODUCTS, Self::unary)
    }

    fn arithmetic(&mut self, operators: &[(&str, Operator)], operand: fn(&mut Self) -> Result<Typed>) -> Result<Typed> {
        let mut left = operand(self)?;
        loop {
            let Token::Sign(sign) = self.peek() else { return Ok(left) };
            let Some((_, operator)) = operators.iter().find(|(text, _)| text == sign) else { return Ok(left) };
            let at = self.at();
            self.take();
            let right = operand(self)?;
            let kind = match (&left.kind, &right.kind) {
                (Type::Any, _) | (_, Type::Any) => Some(Type::Any),
                (Type::String, Type::String) if *operator == Add => Some(Type::String),
                (Type::List(a), Type::List(b)) if *operator == Add => Some(Type::List(Box::new((**a).clone().join(b)))),
                (Type::Double, Type::Double) if *operator == Remainder => None,
                (a, b) => (a == b && a.is_number()).then(|| a.clone()),
            };
            left = self.operation(*operator, left, right, kind, at)?;
        }
    }

    fn operation(&self, operator: Operator, left: Typed, right: Typed, kind: Option<Type>, at: usize) -> Result<Typed> {
        let Some(kind) = kind else {
            let message = format!("this operator does not take {} and {}", left.kind, right.kind);
            return Err(self.error(at, message));
        };
        let depth = 1 + left.depth.max(right.depth);
        self.typed(Expr::Operation(operator, Box::new([left.expr, right.expr])), kind, depth, left.at)
    }

    fn unary(&mut self) -> Result<Typed> {
        let at = self.at();
        let (mut nots, mut minuses) = (0usize, 0usize);
        while self.take_sign("!") {
            nots += 1;
        }
        while nots == 0 && self.take_sign("-") {
            minuses += 1;
        }
        let operand = self.member()?;
        let depth = operand.depth + 1;
        match (nots, minuses) {
            (0, 0) => Ok(operand),
            (0, _) => {
                if !matches!(operand.kind, Type::Int | Type::Double | Type::Any) {
                    return Err(self.error(at, format!("\"-\" does not take {}", operand.kind)));
                }
                if minuses.is_multiple_of(2) {
                    return Ok(operand);
                }
                let kind = operand.kind;
                self.typed(Expr::Negative(Box::new(operand.expr)), kind, depth, at)
            }
            _ => {
                self.want(&operand, &Type::Bool, "\"!\"")?;
                // Twice is not nothing: it fails unless it is true or false.
                let mut expr = Expr::Not(Box::new(operand.expr));
                if nots.is_multiple_of(2) {
                    expr = Expr::Not(Box::new(expr));
                }
                self.typed(expr, Type::Bool, depth + 1, at)
            }
        }
    }

    /// `primary { "." name [ arguments ] | "[" expression "]" }`.
    fn member(&mut self) -> Result<Typed> {
        let mut value = self.primary()?;
        loop {
            let at = value.at;
            if self.take_sign("[") {
                let index = self.expression()?;
                self.expect("]")?;
                let kind = match &value.kind {
                    Type::List(item) if index.kind.is_number() || index.kind == Type::Any => (**item).clone(),
                    Type::Map if index.kind.may_be(&Type::String) => Type::Any,
                    Type::Any => Type::Any,
                    kind => return Err(self.error(index.at, format!("{kind} has no item of {}", index.kind))),
                };
                let depth = 1 + value.depth.max(index.depth);
                value = self.typed(Expr::Item(Box::new(value.expr), Box::new(index.expr)), kind, depth, at)?;
            } else if self.take_sign(".") {
                let name_at = self.at();
                let Token::Name(name) = self.take() else {
                    self.next = self.next.saturating_sub(1);
                    return Err(self.error(name_at, "expected a name after \".\""));
                };
                if self.take_sign("(") {
                    value = self.method(value, &name, name_at)?;
                    continue;
                }
                if !matches!(value.kind, Type::Map | Type::Any) {
                    return Err(self.error(name_at, format!("{} has no fields", value.kind)));
                }
                let depth = value.depth + 1;
                value = self.typed(Expr::Field(Box::new(value.expr), name.into()), Type::Any, depth, at)?;
            } else {
                return Ok(value);
            }
        }
    }

    /// What is called on a value; the parenthesis was taken.
    fn method(&mut self, value: Typed, name: &str, at: usize) -> Result<Typed> {
        let each = match name {
            "all" => Macro::All,
            "exists" => Macro::Exists,
            "exists_one" => Macro::ExistsOne,
            "filter" => Macro::Filter,
            "map" => Macro::Map,
            _ => {
                let mut arguments = vec![value];
                arguments.extend(self.arguments()?);
                return self.call(name, arguments, true, at);
            }
        };
        let item = match &value.kind {
            Type::List(item) => (**item).clone(),
            Type::Any => Type::Any,
            // Over the names of its fields.
            Type::Map => Type::String,
            kind => return Err(self.error(value.at, format!("{name} takes a list, this is {kind}"))),
        };
        let variable_at = self.at();
        let Token::Name(variable) = self.take() else {
            return Err(self.error(variable_at, format!("expected the name of a variable, as in {name}(x, x == 1)")));
        };
        self.expect(",")?;
        let place = self.names.len();
        self.names.push((variable, item.clone()));
        self.locals = self.locals.max(self.names.len());
        let said = self.expression()?;
        self.names.pop();
        self.expect(")")?;
        if each != Macro::Map {
            self.want(&said, &Type::Bool, name)?;
        }
        let kind = match each {
            Macro::Filter => Type::List(Box::new(item)),
            Macro::Map => Type::List(Box::new(said.kind)),
            _ => Type::Bool,
        };
        let depth = 1 + value.depth.max(said.depth);
        let at = value.at;
        self.typed(Expr::Each(each, place, Box::new([value.expr, said.expr])), kind, depth, at)
    }

    /// Arguments after the opening parenthesis, with the closing one.
    fn arguments(&mut self) -> Result<Vec<Typed>> {
        self.list_until(")")
    }

    fn list_until(&mut self, end: &str) -> Result<Vec<Typed>> {
        let mut items = Vec::new();
        while !self.take_sign(end) {
            items.push(self.expression()?);
            if !self.take_sign(",") && !matches!(self.peek(), Token::Sign(sign) if *sign == end) {
                return Err(self.unexpected(&format!("\",\" or \"{end}\"")));
            }
        }
        Ok(items)
    }

    fn call(&mut self, name: &str, arguments: Vec<Typed>, is_method: bool, at: usize) -> Result<Typed> {
        use Function::{Contains, Double, EndsWith, Int, Size, StartsWith, String, Uint};
        let (function, count, kind) = match (name, is_method) {
            ("size", _) => (Size, 1, Type::Int),
            ("startsWith", true) => (StartsWith, 2, Type::Bool),
            ("endsWith", true) => (EndsWith, 2, Type::Bool),
            ("contains", true) => (Contains, 2, Type::Bool),
            ("matches", _) => return self.matches(arguments, at),
            ("int", false) => (Int, 1, Type::Int),
            ("uint", false) => (Uint, 1, Type::Uint),
            ("double", false) => (Double, 1, Type::Double),
            ("string", false) => (String, 1, Type::String),
            _ => return Err(self.error(at, format!("there is no function {name}"))),
        };
        if arguments.len() != count {
            let given = arguments.len() - usize::from(is_method);
            let wanted = count - usize::from(is_method);
            return Err(self.error(at, format!("{name} takes {wanted} arguments here, got {given}")));
        }
        for argument in &arguments {
            let fits = match function {
                Size => matches!(argument.kind, Type::Any | Type::String | Type::List(_) | Type::Map),
                StartsWith | EndsWith | Contains => argument.kind.may_be(&Type::String),
                Int | Uint | Double | String => {
                    let kind = &argument.kind;
                    kind.is_number()
                        || matches!(kind, Type::Any | Type::String)
                        || function == String && *kind == Type::Bool
                }
            };
            if !fits {
                return Err(self.error(argument.at, format!("{name} does not take {}", argument.kind)));
            }
        }
        let depth = 1 + arguments.iter().map(|argument| argument.depth).max().unwrap_or_default();
        let arguments = arguments.into_iter().map(|argument| argument.expr).collect();
        self.typed(Expr::Call(function, arguments), kind, depth, at)
    }

    /// `text.matches(pattern)` or `matches(text, pattern)`.
    fn matches(&self, arguments: Vec<Typed>, at: usize) -> Result<Typed> {
        let [text, pattern] =
            <[Typed; 2]>::try_from(arguments).map_err(|_| self.error(at, "matches takes a text and a pattern"))?;
        self.want(&text, &Type::String, "matches")?;
        let Expr::Text(source) = &pattern.expr else {
            return Err(self.error(pattern.at, "a pattern is a text in quotes, so that it is read once"));
        };
        let regex = RegexBuilder::new(source).size_limit(MAX_PATTERN_BYTES).build();
        let regex = regex.map_err(|error| self.error(pattern.at, format!("not a pattern: {error}")))?;
        self.typed(Expr::Matches(Box::new(text.expr), regex), Type::Bool, text.depth + 1, text.at)
    }

    fn primary(&mut self) -> Result<Typed> {
        let at = self.at();
        let (expr, kind) = match self.take() {
            Token::Int(value) => (Expr::Int(value), Type::Int),
            Token::Uint(value) => (Expr::Uint(value), Type::Uint),
            Token::Double(value) => (Expr::Double(value), Type::Double),
            Token::Text(text) => (Expr::Text(text.into()), Type::String),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(Typed { at, ..inner });
            }
            Token::Sign("[") => return self.list(at),
            Token::Name(name) if self.take_sign("(") => {
                if name == "has" {
                    return self.has(at);
                }
                let arguments = self.arguments()?;
                return self.call(&name, arguments, false, at);
            }
            Token::Name(name) => return self.name(&name, at),
            token => {
                return Err(self.error(at, format!("expected a value, got {}", token.describe())));
            }
        };
        self.typed(expr, kind, 1, at)
    }

    fn list(&mut self, at: usize) -> Result<Typed> {
        let items = self.list_until("]")?;
        let depth = 1 + items.iter().map(|item| item.depth).max().unwrap_or_default();
        let kind = items.iter().map(|item| item.kind.clone()).reduce(|all, next| all.join(&next));
        let items = items.into_iter().map(|item| item.expr).collect();
        self.typed(Expr::List(items), Type::List(Box::new(kind.unwrap_or(Type::Any))), depth, at)
    }

    /// `has(value.field)`; the parenthesis was taken.
    fn has(&mut self, at: usize) -> Result<Typed> {
        let inner = self.expression()?;
        self.expect(")")?;
        let Expr::Field(value, name) = inner.expr else {
            return Err(self.error(inner.at, "has takes a field, as in has(data.to)"));
        };
        self.typed(Expr::Has(value, name), Type::Bool, inner.depth, at)
    }

    fn name(&mut self, name: &str, at: usize) -> Result<Typed> {
        let (expr, kind) = match name {
            "true" => (Expr::Bool(true), Type::Bool),
            "false" => (Expr::Bool(false), Type::Bool),
            "null" => (Expr::Null, Type::Null),
            _ => {
                if let Some(place) = self.names.iter().rposition(|(known, _)| known == name) {
                    return self.typed(Expr::Local(place), self.names[place].1.clone(), 1, at);
                }
                match Variable::named(name) {
                    Some(variable) => {
                        self.reads_data |= variable == Variable::Data;
                        (Expr::Variable(variable), variable.kind())
                    }
                    None if matches!(name, "db" | "ram") => {
                        return Err(self.error(at, format!("\"{name}\" cannot be used in filters")));
                    }
                    None => {
                        let known = Variable::names().collect::<Vec<_>>().join(", ");
                        return Err(self.error(at, format!("there is no \"{name}\"; there are {known}")));
                    }
                }
            }
        };
        self.typed(expr, kind, 1, at)
    }
}
