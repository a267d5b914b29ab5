//! Filters: which actions count, by programs over each action.
//!
//! A program is an expression of the [Common Expression Language](https://cel.dev) that is true or false for an action.
//! There are three: an action passes if *include* holds and *exclude* does not; the *system* program lets some pass
//! all the same. A setting may hold several programs, each from another block on:
//!
//! ```text
//! receiver == 'game' ;;; #5000;receiver in ['game', 'shop']
//! ```
//!
//! What an expression may use of an action is in [`Variable`]. Of the language there is what filters need: literals but
//! maps and bytes, lists, `data.field`, `x[i]`, operators, `has`, `exists`, `exists_one`, `all`, `filter`, `map`, `size`,
//! `startsWith`, `endsWith`, `contains`, `matches`, and conversions between numbers and text. Types are checked before
//! anything runs. An expression that cannot be evaluated, for instance since there is no such field, is an error, which
//! `&&` and `||` absorb where the other side decides; *include* takes an error for true, the others for false.

mod blocks;
mod changes;
mod eval;
mod facts;
mod lexer;
mod parser;
mod program;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod variable;

use std::{fmt, sync::Arc};

use dfuse_antelope::{Name, abi::AbiSerializer};

pub(crate) use self::facts::{ActionFacts, TransactionFacts};
use self::{eval::Evaluation, program::Program};
use crate::ParseError;

/// Longest text of one of the three settings in bytes.
pub const MAX_FILTER_BYTES: usize = 16 << 10;
/// The system actions that pass unless it is said otherwise.
pub const SYSTEM_ACTIONS: &str = "receiver == 'eosio' && action in ['updateauth', 'deleteauth', 'linkauth', \
                                  'unlinkauth', 'newaccount', 'setabi']";

/// Separates the programs of a setting.
const SEPARATOR: &str = ";;;";

/// Gives the ABI of an account that was in force for the action with that global sequence; absent if there is none of use.
pub type AbiAt<'a> = dyn FnMut(Name, u64) -> dfuse_index::Result<Option<Arc<AbiSerializer>>> + 'a;

/// Which actions pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Programs,
    exclude: Programs,
    system: Programs,
}

/// What a filter says of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Passes,
    /// It passes as a system action only.
    System,
    /// It does not pass.
    Fails,
}

/// Why a text is no program of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error} in \"{program}\"")]
pub struct FilterError {
    /// The program, or the piece of text that is none.
    pub program: String,
    /// What is wrong, and where in the program.
    pub error: ParseError,
}

impl Filter {
    /// Reads the three settings. Nothing, `*` and `true` include everything; nothing and `false` exclude nothing.
    ///
    /// # Errors
    /// Where a text is not one or more programs that are true or false.
    pub fn new(include: &str, exclude: &str, system: &str) -> Result<Self, FilterError> {
        Ok(Self {
            include: Programs::read(include, &["", "*", "true"])?,
            exclude: Programs::read(exclude, &["", "false"])?,
            system: Programs::read(system, &["", "false"])?,
        })
    }

    /// Whether every action of every block passes.
    pub fn passes_all(&self) -> bool {
        self.include.are_idle() && self.exclude.are_idle()
    }

    /// Whether the decoded data of an action decides whether it passes.
    pub fn reads_data(&self) -> bool {
        [&self.include, &self.exclude, &self.system].into_iter().any(Programs::read_data)
    }

    /// What the three settings say, the same for the same text; empty if every action passes.
    pub(crate) fn identity(&self) -> String {
        if self.passes_all() {
            return String::new();
        }
        format!("include {}\nexclude {}\nsystem {}\n", self.include, self.exclude, self.system)
    }

    /// What it says of an action.
    pub(crate) fn verdict(&self, action: &ActionFacts<'_>) -> dfuse_index::Result<Verdict> {
        let block = action.block_number();
        let (include, exclude) = (self.include.at(block), self.exclude.at(block));
        if include.is_none() && exclude.is_none() {
            return Ok(Verdict::Passes);
        }
        let holds = |program: Option<&Program>, otherwise: bool| -> dfuse_index::Result<bool> {
            let Some(program) = program else { return Ok(otherwise) };
            let result = Evaluation::new(action).run(program);
            action.failure().map_or(Ok(result.unwrap_or(otherwise)), Err)
        };
        if holds(include, true)? && !holds(exclude, false)? {
            return Ok(Verdict::Passes);
        }
        let is_system = holds(self.system.at(block), false)?;
        Ok(if is_system { Verdict::System } else { Verdict::Fails })
    }
}

/// Equal if the texts are, but for white space around programs.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Filter {}

/// The programs of one setting by the block from which on they hold, in ascending order.
#[derive(Debug, Clone, Default)]
struct Programs(Vec<(u32, Arc<str>, Option<Arc<Program>>)>);

impl Programs {
    /// `idle` are the texts that stand for no program.
    fn read(text: &str, idle: &[&str]) -> Result<Self, FilterError> {
        let failed = |program: &str, at: usize, message: String| FilterError {
            program: program.to_owned(),
            error: ParseError::at(program, at, message),
        };
        if text.len() > MAX_FILTER_BYTES {
            let message = format!("a filter of {} bytes, it has at most {MAX_FILTER_BYTES}", text.len());
            return Err(failed("", 0, message));
        }
        let mut programs: Vec<(u32, Arc<str>, Option<Arc<Program>>)> = Vec::new();
        for piece in text.split(SEPARATOR).map(str::trim) {
            let (from, program) = match piece.strip_prefix('#') {
                None => (0, piece),
                Some(rest) => {
                    let number = rest.split_once(';').and_then(|(number, program)| {
                        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
                        Some((number.parse().ok().filter(|_| is_number)?, program.trim()))
                    });
                    let message = "expected the number of a block and a semicolon after \"#\"";
                    number.ok_or_else(|| failed(piece, 1, message.to_owned()))?
                }
            };
            if programs.iter().any(|(known, ..)| *known == from) {
                return Err(failed(piece, 0, format!("there is another program from block {from} on")));
            }
            let compiled = match idle.contains(&program) {
                true => None,
                false => Some(
                    Program::compile(program).map_err(|error| FilterError { program: program.to_owned(), error })?,
                ),
            };
            programs.push((from, program.into(), compiled.map(Arc::new)));
        }
        programs.sort_by_key(|(from, ..)| *from);
        Ok(Self(programs))
    }

    fn are_idle(&self) -> bool {
        self.0.iter().all(|(.., program)| program.is_none())
    }

    fn read_data(&self) -> bool {
        self.0.iter().any(|(.., program)| program.as_ref().is_some_and(|program| program.reads_data))
    }

    /// The one that holds at a block.
    fn at(&self, block: u32) -> Option<&Program> {
        self.0.iter().rev().find(|(from, ..)| *from <= block)?.2.as_deref()
    }

    /// Its text; empty if there is none.
    fn text_at(&self, block: u32) -> &str {
        let own = self.0.iter().rev().find(|(from, ..)| *from <= block);
        own.filter(|(.., program)| program.is_some()).map_or("", |(_, text, _)| text)
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (from, text, program) in &self.0 {
            write!(f, "#{from};{}{SEPARATOR}", program.as_ref().map_or("", |_| &**text))?;
        }
        Ok(())
    }
}
