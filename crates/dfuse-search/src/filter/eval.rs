//! The value of an expression for an action.

use std::{borrow::Cow, cell::Cell, cmp::Ordering, rc::Rc};

use serde_json::Value as Json;

use super::{
    program::{Expr, Function, Macro, Operator, Program},
    value::{NoValue, Result, Value},
    variable::Variable,
};

/// Steps that one evaluation may take: one for each expression, and for each 64 bytes of text that are looked at or made.
const MAX_STEPS: u32 = 100_000;

/// What the variables are.
pub(super) trait Facts {
    /// The value; absent if there is none.
    fn get(&self, variable: Variable) -> Option<Value<'_>>;
}

/// One run over one action.
pub(super) struct Evaluation<'a> {
    facts: &'a dyn Facts,
    steps: Cell<u32>,
    locals: Vec<Value<'a>>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(facts: &'a dyn Facts) -> Self {
        Self { facts, steps: Cell::new(0), locals: Vec::new() }
    }

    pub(super) fn run(mut self, program: &'a Program) -> Result<bool> {
        self.locals.resize(program.locals, Value::Null);
        self.value(&program.root)?.as_bool()
    }

    fn spend(&self, steps: usize) -> Result<()> {
        let spent = u32::try_from(steps).ok().and_then(|steps| self.steps.get().checked_add(steps));
        self.steps.set(spent.filter(|spent| *spent <= MAX_STEPS).ok_or(NoValue)?);
        Ok(())
    }

    fn value(&mut self, expr: &'a Expr) -> Result<Value<'a>> {
        self.spend(1)?;
        Ok(match expr {
            Expr::Null => Value::Null,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Int(value) => Value::Int(*value),
            Expr::Uint(value) => Value::Uint(*value),
            Expr::Double(value) => Value::Double(*value),
            Expr::Text(text) => Value::Text(Cow::Borrowed(text)),
            Expr::List(items) => {
                let items: Result<Vec<_>> = items.iter().map(|item| self.value(item)).collect();
                Value::List(Rc::new(items?))
            }
            Expr::Variable(variable) => self.facts.get(*variable).ok_or(NoValue)?,
            Expr::Local(place) => self.locals[*place].clone(),
            Expr::Field(value, name) => self.value(value)?.field(name)?.ok_or(NoValue)?,
            Expr::Has(value, name) => Value::Bool(self.value(value)?.field(name)?.is_some()),
            Expr::Item(value, index) => {
                let (value, index) = (self.value(value)?, self.value(index)?);
                self.item(&value, &index)?
            }
            Expr::All(operands) => Value::Bool(self.decide(operands.iter(), false)?),
            Expr::Any(operands) => Value::Bool(self.decide(operands.iter(), true)?),
            Expr::Not(operand) => Value::Bool(!self.value(operand)?.as_bool()?),
            Expr::Negative(operand) => match self.value(operand)? {
                Value::Int(value) => Value::Int(value.checked_neg().ok_or(NoValue)?),
                Value::Double(value) => Value::Double(-value),
                _ => return Err(NoValue),
            },
            Expr::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                let chosen = if self.value(condition)?.as_bool()? { then } else { otherwise };
                self.value(chosen)?
            }
            Expr::Operation(operator, operands) => {
                let [left, right] = &**operands;
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.operation(*operator, &left, &right)?
            }
            Expr::Call(function, arguments) => {
                let arguments: Result<Vec<_>> = arguments.iter().map(|argument| self.value(argument)).collect();
                self.call(*function, &arguments?)?
            }
            Expr::Matches(text, regex) => {
                let text = self.value(text)?;
                let text = text.as_text()?;
                self.spend(text.len() / 4)?;
                Value::Bool(regex.is_match(text))
            }
            Expr::Each(each, place, parts) => {
                let [list, said] = &**parts;
                let items = self.value(list)?.items()?;
                self.spend(items.len())?;
                self.each(*each, *place, items, said)?
            }
        })
    }

    /// Whether any operand is `wanted`, which decides whatever the others are; an error only if none is.
    fn decide(&mut self, operands: impl Iterator<Item = &'a Expr>, wanted: bool) -> Result<bool> {
        let mut result = Ok(!wanted);
        for operand in operands {
            match self.value(operand).and_then(|value| value.as_bool()) {
                Ok(value) if value == wanted => return Ok(wanted),
                Ok(_) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn each(&mut self, each: Macro, place: usize, items: Vec<Value<'a>>, said: &'a Expr) -> Result<Value<'a>> {
        let (mut kept, mut count, mut failed) = (Vec::new(), 0, None);
        for item in items {
            self.locals[place] = item.clone();
            let value = self.value(said);
            if each == Macro::Map {
                kept.push(value?);
                continue;
            }
            match (each, value.and_then(|value| value.as_bool())) {
                (Macro::All, Ok(false)) => return Ok(Value::Bool(false)),
                (Macro::Exists, Ok(true)) => return Ok(Value::Bool(true)),
                (Macro::All | Macro::Exists, Err(error)) => failed = Some(error),
                (Macro::All | Macro::Exists, Ok(_)) => {}
                (_, value) => {
                    if value? {
                        count += 1;
                        kept.push(item);
                    }
                }
            }
        }
        match (each, failed) {
            (_, Some(error)) => Err(error),
            (Macro::All, None) => Ok(Value::Bool(true)),
            (Macro::Exists, None) => Ok(Value::Bool(false)),
            (Macro::ExistsOne, None) => Ok(Value::Bool(count == 1)),
            (Macro::Filter | Macro::Map, None) => Ok(Value::List(Rc::new(kept))),
        }
    }

    fn item(&self, value: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>> {
        if let Value::Text(name) = index {
            return value.field(name)?.ok_or(NoValue);
        }
        let position = match index {
            Value::Int(position) => usize::try_from(*position),
            Value::Uint(position) => usize::try_from(*position),
            _ => return Err(NoValue),
        };
        let position = position.map_err(|_| NoValue)?;
        match value {
            Value::List(items) => items.get(position).cloned().ok_or(NoValue),
            Value::Json(Json::Array(items)) => items.get(position).map(Value::of).ok_or(NoValue),
            _ => Err(NoValue),
        }
    }

    fn equal(&self, left: &Value<'a>, right: &Value<'a>) -> Result<bool> {
        match (left, right) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::Json(Json::Object(a)), Value::Json(Json::Object(b))) => {
                self.spend(a.len())?;
                Ok(a == b)
            }
            (Value::List(_) | Value::Json(Json::Array(_)), Value::List(_) | Value::Json(Json::Array(_))) => {
                let (left, right) = (left.items()?, right.items()?);
                self.spend(left.len() + right.len())?;
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (a, b) in left.iter().zip(&right) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(left.compare(right) == Some(Ordering::Equal)),
        }
    }

    fn operation(&self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
        let ordering = || left.compare(right).ok_or(NoValue);
        Ok(Value::Bool(match operator {
            Operator::Equal => self.equal(left, right)?,
            Operator::NotEqual => !self.equal(left, right)?,
            Operator::Less => ordering()?.is_lt(),
            Operator::LessOrEqual => ordering()?.is_le(),
            Operator::Greater => ordering()?.is_gt(),
            Operator::GreaterOrEqual => ordering()?.is_ge(),
            Operator::In => match right {
                Value::Json(Json::Object(fields)) => fields.contains_key(left.as_text()?),
                _ => {
                    let items = right.items()?;
                    self.spend(items.len())?;
                    let mut found = false;
                    for item in &items {
                        found = found || self.equal(left, item)?;
                    }
                    found
                }
            },
            _ => return self.arithmetic(operator, left, right),
        }))
    }

    fn arithmetic(&self, operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>> {
        use Operator::{Add, Divide, Multiply, Remainder, Subtract};
        macro_rules! checked {
            ($a:ident, $b:ident) => {
                match operator {
                    Add => $a.checked_add(*$b),
                    Subtract => $a.checked_sub(*$b),
                    Multiply => $a.checked_mul(*$b),
                    Divide => $a.checked_div(*$b),
                    Remainder => $a.checked_rem(*$b),
                    _ => None,
                }
                .ok_or(NoValue)?
            };
        }
        Ok(match (left, right) {
            (Value::Int(a), Value::Int(b)) => Value::Int(checked!(a, b)),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(checked!(a, b)),
            (Value::Double(a), Value::Double(b)) => Value::Double(match operator {
                Add => a + b,
                Subtract => a - b,
                Multiply => a * b,
                Divide => a / b,
                _ => return Err(NoValue),
            }),
            (Value::Text(a), Value::Text(b)) if operator == Add => {
                self.spend((a.len() + b.len()) / 64)?;
                Value::Text(format!("{a}{b}").into())
            }
            (Value::List(_) | Value::Json(Json::Array(_)), Value::List(_) | Value::Json(Json::Array(_)))
                if operator == Add =>
            {
                let (mut items, more) = (left.items()?, right.items()?);
                self.spend(items.len() + more.len())?;
                items.extend(more);
                Value::List(Rc::new(items))
            }
            _ => return Err(NoValue),
        })
    }

    fn call(&self, function: Function, arguments: &[Value<'a>]) -> Result<Value<'a>> {
        let first = arguments.first().ok_or(NoValue)?;
        let two = || -> Result<(&str, &str)> {
            let (text, part) = (first.as_text()?, arguments.get(1).ok_or(NoValue)?.as_text()?);
            self.spend(text.len() / 64)?;
            Ok((text, part))
        };
        Ok(match function {
            Function::StartsWith => two().map(|(text, part)| Value::Bool(text.starts_with(part)))?,
            Function::EndsWith => two().map(|(text, part)| Value::Bool(text.ends_with(part)))?,
            Function::Contains => two().map(|(text, part)| Value::Bool(text.contains(part)))?,
            Function::Size => match first {
                Value::Text(text) => {
                    self.spend(text.len() / 64)?;
                    Value::Int(text.chars().count() as i64)
                }
                Value::List(items) => Value::Int(items.len() as i64),
                Value::Json(Json::Array(items)) => Value::Int(items.len() as i64),
                Value::Json(Json::Object(fields)) => Value::Int(fields.len() as i64),
                _ => return Err(NoValue),
            },
            Function::Int => Value::Int(
                match first {
                    Value::Int(value) => Some(*value),
                    Value::Uint(value) => i64::try_from(*value).ok(),
                    Value::Double(value) if value.abs() < 9.0e18 => Some(*value as i64),
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or(NoValue)?,
            ),
            Function::Uint => Value::Uint(
                match first {
                    Value::Uint(value) => Some(*value),
                    Value::Int(value) => u64::try_from(*value).ok(),
                    Value::Double(value) if (0.0..1.8e19).contains(value) => Some(*value as u64),
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or(NoValue)?,
            ),
            Function::Double => Value::Double(
                match first {
                    Value::Double(value) => Some(*value),
                    Value::Int(value) => Some(*value as f64),
                    Value::Uint(value) => Some(*value as f64),
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
                .ok_or(NoValue)?,
            ),
            Function::String => Value::Text(match first {
                Value::Text(text) => text.clone(),
                Value::Bool(value) => value.to_string().into(),
                Value::Int(value) => value.to_string().into(),
                Value::Uint(value) => value.to_string().into(),
                Value::Double(value) => value.to_string().into(),
                _ => return Err(NoValue),
            }),
        })
    }
}
